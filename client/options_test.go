package client

import (
	"net/http"
	"strings"
	"testing"
	"time"
)

func TestOptions_Defaults(t *testing.T) {
	o, err := (*Options)(nil).withDefaults()
	if err != nil {
		t.Fatal(err)
	}
	type settings struct {
		Connect, Heartbeat, Request            time.Duration
		Queue, InFlight, Buffer, BufferBytes   int
		Message                                int64
		Backoff                                Backoff
		HasClient, HasHeader, HasLog, HasToken bool
	}
	got := settings{o.ConnectTimeout, o.HeartbeatInterval, o.RequestTimeout, o.QueueSize, o.MaxInFlight, o.EventBuffer,
		o.EventBufferBytes, o.MaxMessageBytes, o.Backoff, o.HTTPClient != nil, o.Header != nil, o.Logger != nil, o.Token != nil}
	want := settings{15 * time.Second, 30 * time.Second, 30 * time.Second, 100, 32, 1024, 16 << 20, 64 << 20,
		Backoff{500 * ms, 30 * time.Second, 2, 0.2}, true, true, true, false}
	if got != want {
		t.Errorf("\n got %+v\nwant %+v", got, want)
	}
}

func TestOptions_Copied(t *testing.T) {
	given := &Options{Header: http.Header{"X": {"1"}}}
	o, err := given.withDefaults()
	if err != nil {
		t.Fatal(err)
	}
	given.Header.Set("X", "2")
	if got := o.Header.Get("X"); got != "1" {
		t.Errorf("header %q follows the caller's", got)
	}
	if given.QueueSize != 0 {
		t.Error("defaults were written into the caller's options")
	}
}

func TestOptions_Off(t *testing.T) {
	o, err := (&Options{ConnectTimeout: -1, HeartbeatInterval: -1, RequestTimeout: -1, QueueSize: -1, MaxMessageBytes: -1,
		Backoff: Backoff{Initial: -1, Jitter: -1}}).withDefaults()
	if err != nil {
		t.Fatal(err)
	}
	if o.ConnectTimeout != 0 || o.HeartbeatInterval != 0 || o.RequestTimeout != 0 || o.QueueSize != 0 || o.MaxMessageBytes != 0 ||
		o.Backoff.Initial != off || o.Backoff.Jitter != 0 {
		t.Errorf("not switched off: %+v", o)
	}
}

func TestOptions_Invalid(t *testing.T) {
	tests := []struct {
		name    string
		options Options
	}{
		{"ConnectTimeout", Options{ConnectTimeout: -2}},
		{"HeartbeatInterval", Options{HeartbeatInterval: -time.Second}},
		{"RequestTimeout", Options{RequestTimeout: -2}},
		{"QueueSize", Options{QueueSize: -2}},
		{"MaxInFlight", Options{MaxInFlight: -1}},
		{"EventBuffer", Options{EventBuffer: -1}},
		{"EventBufferBytes", Options{EventBufferBytes: -1}},
		{"MaxMessageBytes", Options{MaxMessageBytes: -2}},
		{"Backoff.Initial", Options{Backoff: Backoff{Initial: -2}}},
		{"Backoff.Max", Options{Backoff: Backoff{Max: -1}}},
		{"Backoff.Max", Options{Backoff: Backoff{Max: time.Millisecond}}},
		{"Backoff.Factor", Options{Backoff: Backoff{Factor: 0.5}}},
		{"Backoff.Jitter", Options{Backoff: Backoff{Jitter: 1.5}}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			_, err := New("ws://host", &test.options)
			if err == nil || !strings.Contains(err.Error(), test.name) {
				t.Errorf("error %v, want one that names %s", err, test.name)
			}
		})
	}
}
