package client

import (
	"errors"
	"testing"
	"time"
)

// steps of an exact backoff.
var exact = Backoff{Initial: 500 * ms, Max: 4 * time.Second, Factor: 2, Jitter: 0}

func TestReconnector(t *testing.T) {
	const stop = -1 * ms
	progressed := func(code int) connectionEnd { return connectionEnd{code: code, received: true, progressed: true} }
	attributed := func(code int) connectionEnd { return connectionEnd{code: code, received: true, attributed: true} }
	tests := []struct {
		name    string
		noToken bool
		never   bool
		ends    []connectionEnd
		want    []time.Duration
	}{
		{name: "network error backs off", ends: []connectionEnd{{}, {}, {}, {}, {}},
			want: []time.Duration{500 * ms, 1000 * ms, 2000 * ms, 4000 * ms, 4000 * ms}},
		{name: "backoff starts over after a frame", ends: []connectionEnd{{}, {}, {received: true}, {}},
			want: []time.Duration{500 * ms, 1000 * ms, 500 * ms, 1000 * ms}},
		{name: "backoff starts over after ten seconds", ends: []connectionEnd{{}, {}, {lived: 9 * time.Second}, {lived: 10 * time.Second}},
			want: []time.Duration{500 * ms, 1000 * ms, 2000 * ms, 500 * ms}},
		{name: "going away backs off", ends: []connectionEnd{progressed(1001)}, want: []time.Duration{500 * ms}},
		{name: "server error backs off", ends: []connectionEnd{progressed(1011)}, want: []time.Duration{500 * ms}},
		{name: "normal closure backs off", ends: []connectionEnd{progressed(1000)}, want: []time.Duration{500 * ms}},

		{name: "fell behind: at once", ends: []connectionEnd{progressed(4001), progressed(4001)}, want: []time.Duration{0, 0}},
		{name: "fell behind again without progress: no tight loop",
			ends: []connectionEnd{{code: 4001, received: true}, {code: 4001, received: true}, {code: 4001, received: true}, progressed(4001)},
			want: []time.Duration{0, 500 * ms, 1000 * ms, 0}},

		{name: "limits exceeded again and again: the backoff grows until a connection lives", ends: []connectionEnd{progressed(1008), progressed(1008), progressed(1008),
			{code: 1008, progressed: true, lived: 10 * time.Second}}, want: []time.Duration{500 * ms, 1000 * ms, 2000 * ms, 500 * ms}},

		{name: "4002: at once with a new token, then backoff", ends: []connectionEnd{progressed(4002), {status: 401}, {status: 401}, progressed(4002)},
			want: []time.Duration{0, 500 * ms, 1000 * ms, 0}},
		{name: "401: at once with a new token, then backoff", ends: []connectionEnd{{status: 401}, {status: 401}}, want: []time.Duration{0, 500 * ms}},
		{name: "4002 without a source of tokens", noToken: true, ends: []connectionEnd{progressed(4002)}, want: []time.Duration{stop}},
		{name: "401 without a source of tokens", noToken: true, ends: []connectionEnd{{status: 401}}, want: []time.Duration{stop}},
		{name: "other answers to an attempt back off", noToken: true, ends: []connectionEnd{{status: 403}, {status: 503}}, want: []time.Duration{500 * ms, 1000 * ms}},

		{name: "4003: at once without what it was about", ends: []connectionEnd{attributed(4003), attributed(4003), attributed(4003)}, want: []time.Duration{0, 500 * ms, 500 * ms}},
		{name: "4003 for no known reason backs off", ends: []connectionEnd{{code: 4003}}, want: []time.Duration{500 * ms}},
		{name: "4004: at once without what it was about", ends: []connectionEnd{attributed(4004), attributed(4004)}, want: []time.Duration{0, 500 * ms}},
		{name: "4004 for no known reason", ends: []connectionEnd{progressed(4004)}, want: []time.Duration{stop}},
		{name: "message too big: at once without it", ends: []connectionEnd{attributed(1009)}, want: []time.Duration{0}},
		{name: "message too big for no known reason backs off", ends: []connectionEnd{{code: 1009}}, want: []time.Duration{500 * ms}},
		{name: "a serverError that is not what the connection ended for", ends: []connectionEnd{attributed(1006)}, want: []time.Duration{500 * ms}},

		{name: "never", never: true, ends: []connectionEnd{progressed(4001)}, want: []time.Duration{stop}},
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
					t.Fatalf("connectionEnd %d: stop %v, want %v", i, got.stop, wantStop)
				} else if wantStop {
					continue
				}
				if got.delay != test.want[i] {
					t.Errorf("connectionEnd %d: delay %v, want %v", i, got.delay, test.want[i])
				}
			}
		})
	}
}

func TestBackoff_Jitter(t *testing.T) {
	filled, err := (&Options{}).withDefaults()
	if err != nil {
		t.Fatal(err)
	}
	different := make(map[time.Duration]bool)
	for range 100 {
		r := newReconnector(filled.Backoff, false)
		delay := r.next(connectionEnd{}).delay
		if delay < 400*ms || delay > 600*ms {
			t.Fatalf("first delay %v, want 500ms more or less by a fifth", delay)
		}
		different[delay] = true
	}
	if len(different) < 50 {
		t.Errorf("only %d different delays of 100", len(different))
	}
}
