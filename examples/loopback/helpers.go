package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/safe-go/safe/client"
)

// say prints a line of the tour.
func say(format string, values ...any) { fmt.Printf("   "+format+"\n", values...) }

// check returns an error unless the promise holds.
func check(holds bool, format string, values ...any) error {
	if holds {
		return nil
	}
	return fmt.Errorf(format, values...)
}

var errEnded = errors.New("the subscription ended")

// next waits for the next event of a subscription, which must be an E.
func next[E client.Event](ctx context.Context, sub *client.Subscription) (E, error) {
	var none E
	for event, err := range sub.Events(ctx) {
		if err != nil {
			return none, err
		}
		expected, ok := event.(E)
		if !ok {
			return none, fmt.Errorf("expected a %T, got %T: %+v", none, event, event)
		}
		return expected, nil
	}
	return none, errEnded
}

// value returns the counter in the state of an event.
func value(event client.Event) (int, error) {
	c, err := client.DecodeState[counter](event)
	return c.Value, err
}

// verdict describes a verdict: a rejection is one, and not an error.
func verdict(result client.Result) string {
	if result.Accepted {
		return "accepted"
	}
	return fmt.Sprintf("rejected with the code %q, %s: %s", result.Code, result.Details, result.Error)
}
