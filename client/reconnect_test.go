package client

import (
	"errors"
	"testing"
	"time"

	"github.com/safe-go/safe/internal/wire"
)

const ms = time.Millisecond

// steps of an exact backoff.
var exact = Backoff{Initial: 500 * ms, Max: 4 * time.Second, Factor: 2, Jitter: 0}

func TestReconnectByCloseCode(t *testing.T) {
	const stop = -1 * ms
	progressed := func(code int) ending { return ending{code: code, heard: true, progressed: true} }
	blamed := func(code int) ending { return ending{code: code, heard: true, blamed: true} }
	tests := []struct {
		name    string
		noToken bool
		never   bool
		ends    []ending
		want    []time.Duration
	}{
		{name: "network error backs off", ends: []ending{{}, {}, {}, {}, {}},
			want: []time.Duration{500 * ms, 1000 * ms, 2000 * ms, 4000 * ms, 4000 * ms}},
		{name: "backoff starts over after a frame", ends: []ending{{}, {}, {heard: true}, {}},
			want: []time.Duration{500 * ms, 1000 * ms, 500 * ms, 1000 * ms}},
		{name: "backoff starts over after ten seconds", ends: []ending{{}, {}, {lived: 9 * time.Second}, {lived: 10 * time.Second}},
			want: []time.Duration{500 * ms, 1000 * ms, 2000 * ms, 500 * ms}},
		{name: "going away backs off", ends: []ending{progressed(1001)}, want: []time.Duration{500 * ms}},
		{name: "server error backs off", ends: []ending{progressed(1011)}, want: []time.Duration{500 * ms}},
		{name: "normal closure backs off", ends: []ending{progressed(1000)}, want: []time.Duration{500 * ms}},

		{name: "fell behind: at once", ends: []ending{progressed(4001), progressed(4001)}, want: []time.Duration{0, 0}},
		{name: "fell behind again without progress: no tight loop",
			ends: []ending{{code: 4001, heard: true}, {code: 4001, heard: true}, {code: 4001, heard: true}, progressed(4001)},
			want: []time.Duration{0, 500 * ms, 1000 * ms, 0}},

		{name: "4002: at once with a new token, then backoff", ends: []ending{progressed(4002), {status: 401}, {status: 401}, progressed(4002)},
			want: []time.Duration{0, 500 * ms, 1000 * ms, 0}},
		{name: "401: at once with a new token, then backoff", ends: []ending{{status: 401}, {status: 401}}, want: []time.Duration{0, 500 * ms}},
		{name: "4002 without a source of tokens", noToken: true, ends: []ending{progressed(4002)}, want: []time.Duration{stop}},
		{name: "401 without a source of tokens", noToken: true, ends: []ending{{status: 401}}, want: []time.Duration{stop}},
		{name: "other answers to an attempt back off", noToken: true, ends: []ending{{status: 403}, {status: 503}}, want: []time.Duration{500 * ms, 1000 * ms}},

		{name: "4003: at once without what it was about", ends: []ending{blamed(4003), blamed(4003), blamed(4003)}, want: []time.Duration{0, 500 * ms, 500 * ms}},
		{name: "4003 for no known reason backs off", ends: []ending{{code: 4003}}, want: []time.Duration{500 * ms}},
		{name: "4004: at once without what it was about", ends: []ending{blamed(4004), blamed(4004)}, want: []time.Duration{0, 500 * ms}},
		{name: "4004 for no known reason", ends: []ending{progressed(4004)}, want: []time.Duration{stop}},
		{name: "message too big: at once without it", ends: []ending{blamed(1009)}, want: []time.Duration{0}},
		{name: "message too big for no known reason backs off", ends: []ending{{code: 1009}}, want: []time.Duration{500 * ms}},
		{name: "a complaint that is not what the connection ended for", ends: []ending{blamed(1006)}, want: []time.Duration{500 * ms}},

		{name: "never", never: true, ends: []ending{progressed(4001)}, want: []time.Duration{stop}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			b := exact
			if test.never {
				b.Initial = off
			}
			r := newReconnector(b, !test.noToken)
			for i, e := range test.ends {
				e.err = errors.New("cause")
				got := r.next(e)
				if wantStop := test.want[i] == stop; wantStop != (got.stop != nil) {
					t.Fatalf("ending %d: stop %v, want %v", i, got.stop, wantStop)
				} else if wantStop {
					continue
				}
				if got.delay != test.want[i] {
					t.Errorf("ending %d: delay %v, want %v", i, got.delay, test.want[i])
				}
			}
		})
	}
}

func TestBackoffSpreadsClients(t *testing.T) {
	filled, err := (&Options{}).withDefaults()
	if err != nil {
		t.Fatal(err)
	}
	different := make(map[time.Duration]bool)
	for range 100 {
		r := newReconnector(filled.Backoff, false)
		delay := r.next(ending{}).delay
		if delay < 400*ms || delay > 600*ms {
			t.Fatalf("first delay %v, want 500ms more or less by a fifth", delay)
		}
		different[delay] = true
	}
	if len(different) < 50 {
		t.Errorf("only %d different delays of 100", len(different))
	}
}

func TestBlame(t *testing.T) {
	asks := []suspect{{shareDataID: "a", size: 50}, {shareDataID: "ab", size: 60}, {shareDataID: "c", size: 70}}
	mixed := append(asks[:len(asks):len(asks)], suspect{call: "c-1", shareDataID: "a", size: 10}, suspect{call: "c-2", shareDataID: "c", size: 900}, suspect{call: "c-3", size: 5})
	tests := []struct {
		name     string
		code     int
		report   wire.Error
		suspects []suspect
		want     int
	}{
		{"4003 names it", 4003, wire.Error{ShareDataID: "c"}, asks, 2},
		{"4003 names what was not asked for", 4003, wire.Error{ShareDataID: "d"}, asks, -1},
		{"4003 has it in its text, the longer id wins", 4003, wire.Error{Message: "shareDataId ab not found"}, asks, 1},
		{"4003 says nothing: the oldest", 4003, wire.Error{Message: "?"}, asks, 0},
		{"4003 is never about a call", 4003, wire.Error{}, mixed[3:], -1},
		{"4003 with nothing asked", 4003, wire.Error{}, nil, -1},
		{"4004 names a call", 4004, wire.Error{CorrelationID: "c-2"}, mixed, 4},
		{"4004 names a ShareData", 4004, wire.Error{ShareDataID: "ab"}, mixed, 1},
		{"4004 with one suspect", 4004, wire.Error{}, mixed[1:2], 0},
		{"4004 with one proposal", 4004, wire.Error{}, mixed[:4], 3},
		{"4004 with one proposal and a ping", 4004, wire.Error{}, mixed[4:], 0},
		{"4004 with several proposals", 4004, wire.Error{}, mixed, several},
		{"4004 with several, none of them a proposal", 4004, wire.Error{}, asks, -1},
		{"4004 with none", 4004, wire.Error{}, nil, -1},
		{"1009: the largest", 1009, wire.Error{}, mixed, 4},
		{"1009 with none", 1009, wire.Error{}, nil, -1},
		{"other codes blame nothing", 1001, wire.Error{ShareDataID: "c"}, asks[:1], -1},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			if got := blameClose(test.code, test.report, test.suspects); got != test.want {
				t.Errorf("got %d, want %d", got, test.want)
			}
		})
	}
}
