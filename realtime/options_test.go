package realtime

import (
	"errors"
	"math"
	"slices"
	"testing"
	"time"

	"github.com/safe-go/safe/internal/option"
)

func TestOptions(t *testing.T) {
	for _, test := range []struct {
		name    string
		options *Options
		want    []int // nil for an error
	}{
		{"nil", nil, []int{100, 1 << 20, 1 << 20, 64, 64, 30}},
		{"zero", &Options{}, []int{100, 1 << 20, 1 << 20, 64, 64, 30}},
		{"off", withNumbers(-1, -1, -1, -1, -1, -1), []int{0, unlimited, unlimited, unlimited, unlimited, 0}},
		{"set", withNumbers(1, 2, 3, 4, 5, 6*time.Second), []int{1, 2, 3, 4, 5, 6}},
		{"largest", withNumbers(1, math.MaxInt, math.MaxInt, math.MaxInt, math.MaxInt, 0), []int{1, unlimited, unlimited, unlimited, unlimited, 30}},
		{"window", withNumbers(-2, 0, 0, 0, 0, 0), nil},
		{"buffer", withNumbers(0, -3, 0, 0, 0, 0), nil},
		{"message", withNumbers(0, 0, -4, 0, 0, 0), nil},
		{"subscriptions", withNumbers(0, 0, 0, -5, 0, 0), nil},
		{"proposals", withNumbers(0, 0, 0, 0, -6, 0), nil},
		{"heartbeat", withNumbers(0, 0, 0, 0, 0, -time.Second), nil},
		{"malformed origin", &Options{OriginPatterns: []string{"*.example.com", "["}}, nil},
		{"malformed end", &Options{OriginPatterns: []string{"example.com["}}, nil},
		{"empty origin", &Options{OriginPatterns: []string{""}}, nil},
	} {
		t.Run(test.name, func(t *testing.T) {
			o, err := test.options.withDefaults()
			if test.want == nil {
				if _, failed := NewServer(nil, test.options); !errors.Is(err, option.ErrInvalid) || !errors.Is(failed, option.ErrInvalid) {
					t.Errorf("accepted: %v, %v", err, failed)
				}
				return
			}
			got := []int{o.ReplayWindow, o.MaxBufferedBytes, o.MaxMessageBytes, o.MaxSubscriptions, o.MaxProposalsInFlight, int(o.Heartbeat / time.Second)}
			if err != nil || !slices.Equal(got, test.want) {
				t.Errorf("got %v, want %v; %v", got, test.want, err)
			}
		})
	}
}

func withNumbers(window, buffered, message, subscriptions, proposals int, heartbeat time.Duration) *Options {
	return &Options{
		ReplayWindow: window, MaxBufferedBytes: buffered, MaxMessageBytes: message,
		MaxSubscriptions: subscriptions, MaxProposalsInFlight: proposals, Heartbeat: heartbeat,
	}
}
