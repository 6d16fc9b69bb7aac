package client_test

import (
	"context"
	"log"

	"github.com/safe-go/safe/client"
)

// A source that keeps its token, and logs in again when the server has rejected the
// token or will soon: the connection then goes on with the new one. The client calls
// it from one goroutine at a time, so that it needs no lock.
func ExampleExpiringToken() {
	var kept string
	source := func(ctx context.Context) (string, error) {
		rejected, _ := client.RejectedToken(ctx)
		expiring, _, _ := client.ExpiringToken(ctx)
		if kept == rejected || kept == expiring {
			token, err := logIn(ctx)
			if err != nil {
				return "", err // The client asks again after a backoff.
			}
			kept = token
		}
		return kept, nil
	}
	c, err := client.Dial(context.Background(), "wss://example.com/realtime", &client.Options{Token: source})
	if err != nil {
		log.Print(err)
		return
	}
	defer c.Close()
}

func logIn(context.Context) (string, error) { return "a new token", nil }
