package promises

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/safe-go/safe/client"
	"github.com/safe-go/safe/internal/checker"
	"github.com/safe-go/safe/realtime"
	"github.com/safe-go/safe/schemas/codes"
	"github.com/safe-go/safe/sharedata"
)

// expiries is how many tokens of each client expire while it subscribes and proposes,
// and renewals how many are about to.
const expiries, renewals = 10, 6

// newToken returns a token that says when it expires.
func newToken(lifetime time.Duration) string {
	return strconv.FormatInt(time.Now().Add(lifetime).UnixNano(), 10)
}

func callerOf(token string) (*sharedata.Caller, error) {
	nanoseconds, err := strconv.ParseInt(token, 10, 64)
	caller := &sharedata.Caller{Subject: "somebody", ExpiresAt: time.Unix(0, nanoseconds)}
	if err != nil || !time.Now().Before(caller.ExpiresAt) {
		return nil, errors.New("no good")
	}
	return caller, nil
}

// expiringClient is a Go client whose tokens expire.
type expiringClient struct {
	*goClient
	statuses sync.WaitGroup
	opened   int           // connections
	expired  int           // connections that ended with close code 4002
	enough   chan struct{} // closed when one more connection than expiries has opened

	mu      sync.Mutex
	renewed int           // tokens asked for on an open connection
	done    chan struct{} // closed when one more token than renewals was asked for
}

func (h *harness) newExpiringClient(name string, lifetime time.Duration) *expiringClient {
	c := &expiringClient{enough: make(chan struct{}), done: make(chan struct{})}
	c.goClient = h.newGoClientWith(name, client.Options{Token: func(ctx context.Context) (string, error) {
		if _, _, ok := client.ExpiringToken(ctx); ok {
			c.mu.Lock()
			defer c.mu.Unlock()
			if c.renewed++; c.renewed == renewals+1 {
				close(c.done)
			}
		}
		return newToken(lifetime), nil
	}})
	c.statuses.Go(func() {
		for status := range c.client.Statuses(context.Background()) {
			var ended *client.DisconnectError
			switch {
			case status.State == client.Open && status.Err == nil:
				if c.opened++; c.opened == expiries+1 {
					close(c.enough)
				}
			case errors.As(status.Err, &ended) && ended.Code == codes.CloseUnauthorized:
				c.expired++
			case status.State != client.Closed && status.Err != nil && !errors.Is(status.Err, client.ErrUnauthorized):
				h.t.Errorf("%s: %v", name, status.Err)
			}
		}
	})
	for _, id := range everyID {
		c.watch(h.ctx, id)
	}
	return c
}

// proposeUntil proposes 250 times a second at most, until the channel is
// closed.
func (c *expiringClient) proposeUntil(done <-chan struct{}, rng *rand.Rand) {
	pace := time.NewTicker(4 * time.Millisecond)
	defer pace.Stop()
	for n := 0; ; n++ {
		select {
		case <-done:
			return
		case <-c.harness.ctx.Done():
			c.harness.t.Errorf("%s: the test takes too long", c.name)
			return
		case <-pace.C:
		}
		id := everyID[rng.IntN(len(everyID))]
		functionID, data := proposal(rng, id, 200)
		c.propose(id, functionID, data, fmt.Sprint(c.name, "-", n))
	}
}

// testExpiry runs clients under load until until(client) is closed for each, and
// checks that none missed anything or received anything twice.
func testExpiry(t *testing.T, options realtime.Options, lifetime time.Duration, until func(*expiringClient) <-chan struct{}, atLeast checker.Summary) []*expiringClient {
	options.Authenticate = func(r *http.Request) (*sharedata.Caller, error) {
		return callerOf(strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer "))
	}
	options.ReplayWindow = 1 << 20 // Every reconnect can resume.
	h := newHarness(t, nil, options)
	seed := seedOf(t)
	var clients []*expiringClient
	var plain []*goClient
	var proposers sync.WaitGroup
	for i := range 3 {
		// Their tokens expire at different times, so that each misses some changes.
		c := h.newExpiringClient(fmt.Sprint("client-", i), lifetime+time.Duration(i)*30*time.Millisecond)
		clients, plain = append(clients, c), append(plain, c.goClient)
		proposers.Go(func() { c.proposeUntil(until(c), rand.New(rand.NewPCG(seed, uint64(i)))) })
	}
	proposers.Wait()
	load{}.awaitCurrent(h, nil, plain)
	for _, c := range clients {
		c.statuses.Wait()
	}
	h.check(checker.Options{Window: options.ReplayWindow, Complete: true}, atLeast)
	if gaps := h.recorder.Summary().Gaps; gaps > 0 {
		t.Errorf("%d gaps", gaps)
	}
	return clients
}

// A client whose tokens are renewed in time keeps its connection and misses
// nothing.
func TestExpiry_RenewedInBand(t *testing.T) {
	// Long enough for a busy machine to renew a token in the last fifth.
	const lifetime = time.Second
	options := realtime.Options{AuthenticateToken: func(_ context.Context, token string) (*sharedata.Caller, error) {
		return callerOf(token)
	}}
	done := func(c *expiringClient) <-chan struct{} { return c.done }
	for _, c := range testExpiry(t, options, lifetime, done, checker.Summary{Live: 2000, Accepted: 500}) {
		if c.opened != 1 || c.expired != 0 {
			t.Errorf("%s: %d connections, of which %d expired, want one that lives on", c.name, c.opened, c.expired)
		}
	}
}

// A client whose tokens cannot be renewed over the connection is closed with 4002
// again and again, and misses nothing.
func TestExpiry_Reconnected(t *testing.T) {
	const lifetime = 300 * time.Millisecond
	enough := func(c *expiringClient) <-chan struct{} { return c.enough }
	for _, c := range testExpiry(t, realtime.Options{}, lifetime, enough, checker.Summary{Live: 1000, Accepted: 300, Resumed: 60, Replayed: 5}) {
		if c.expired < expiries || c.renewed != 0 {
			t.Errorf("%s: %d connections expired, want %d, and the source was asked %d times on an open one", c.name, c.expired, expiries, c.renewed)
		}
	}
}
