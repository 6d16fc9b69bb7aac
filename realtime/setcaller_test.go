package realtime_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/safe-go/safe/realtime"
	"github.com/safe-go/safe/schemas/codes"
	"github.com/safe-go/safe/sharedata"
)

// A client that says who it is after the session was opened is served as any other.
func TestSetCaller(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ts := servePipes(t, &realtime.Options{
			MaxConnectionsPerSubject: 1,
			AuthorizeSubscribe: func(_ context.Context, caller *sharedata.Caller, id string) error {
				if caller == nil || !strings.HasPrefix(id, string(caller.Claims)) {
					return errors.New("not yours")
				}
				return nil
			},
		})
		ts.create("a")
		ada := func(lifetime time.Duration) *sharedata.Caller {
			return &sharedata.Caller{Subject: "ada", ExpiresAt: time.Now().Add(lifetime)}
		}
		p, other := openReplies(ts, nil), openReplies(ts, nil)
		p.session.Subscribe(realtime.Subscription{ShareDataID: "a", CorrelationID: "1"})
		p.want("error 1 " + codes.UnauthorizedSubscribe)
		if err := p.session.SetCaller(ada(-time.Second)); !errors.Is(err, realtime.ErrExpired) {
			t.Errorf("an expired caller: %v", err)
		}
		for range 2 { // the second time with a new token
			if err := p.session.SetCaller(ada(10 * time.Second)); err != nil {
				t.Fatal(err)
			}
		}
		if err := p.session.SetCaller(&sharedata.Caller{Subject: "eve"}); err == nil {
			t.Error("the session got another caller")
		}
		if err := other.session.SetCaller(ada(time.Second)); err == nil {
			t.Error("the caller has more connections than MaxConnectionsPerSubject")
		}
		p.session.Subscribe(realtime.Subscription{ShareDataID: "a", CorrelationID: "2"})
		p.want("state 2 false")
		narrower := ada(10 * time.Second)
		narrower.Claims = []byte(`"other"`)
		if err := p.session.SetCaller(narrower); err != nil {
			t.Fatal(err)
		}
		p.want("error  " + codes.UnauthorizedSubscribe)
		time.Sleep(11 * time.Second)
		synctest.Wait()
		if code := <-p.closed; code != codes.CloseUnauthorized {
			t.Errorf("closed with %d", code)
		}
		<-p.session.Done()
		if err := other.session.SetCaller(ada(time.Second)); err != nil {
			t.Errorf("after the first connection has ended: %v", err)
		}
		if err := p.session.SetCaller(ada(time.Second)); err == nil {
			t.Error("the caller of a session that has ended was set")
		}
		if _, _, subjects := ts.server.Counted(); subjects != 1 {
			t.Errorf("%d subjects are counted", subjects)
		}
	})
}
