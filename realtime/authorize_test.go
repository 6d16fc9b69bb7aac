package realtime_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/safe-go/safe/internal/wire"
	"github.com/safe-go/safe/realtime"
	"github.com/safe-go/safe/schemas/codes"
	"github.com/safe-go/safe/sharedata"
)

func authenticateAs(caller *sharedata.Caller) func(*http.Request) (*sharedata.Caller, error) {
	return func(*http.Request) (*sharedata.Caller, error) { return caller, nil }
}

func TestAuthorizeSubscribe(t *testing.T) {
	ts := serve(t, &realtime.Options{
		AuthorizeSubscribe: func(_ context.Context, _ *sharedata.Caller, id string) error {
			switch id {
			case "open":
				return nil
			case "panics":
				panic(secret)
			case "refused":
				return fmt.Errorf(secret+": %w", &realtime.Refusal{Code: "not-yours", Message: "ask its owner", RetryAfter: time.Minute})
			}
			return errors.New(secret)
		},
	})
	ts.create("open")
	ts.create("panics")
	ts.create("closed")
	p := ts.dial()
	for _, id := range []string{"closed", "panics", "is not there"} {
		p.subscribe(id, "")
		if e := p.wantError(codes.UnauthorizedSubscribe, id); strings.Contains(e.Message, secret) {
			t.Errorf("the reply has a secret: %s", e.Message)
		}
	}
	ts.create("refused")
	p.subscribe("refused", "")
	if e := p.wantError("not-yours", "refused"); e.Message != "ask its owner" || e.RetryAfterMs != 60_000 {
		t.Errorf("got %+v", e)
	}
	ts.add("closed", 1)
	p.join("open", "")
	p.wantPong("nothing else came")
}

func TestAuthorizeSubscribe_Again(t *testing.T) {
	allowed := true
	ts := serve(t, &realtime.Options{
		AuthorizeSubscribe: func(context.Context, *sharedata.Caller, string) error {
			if !allowed {
				return errors.New("no longer")
			}
			return nil
		},
	})
	ts.create("c")
	p := ts.dial()
	p.join("c", "")
	allowed = false
	p.subscribe("c", "")
	p.wantError(codes.UnauthorizedSubscribe, "c")
	ts.add("c", 1)
	p.wantPong("nothing came")
}

func TestErrExpired(t *testing.T) {
	var expired atomic.Bool
	check := func() error {
		if expired.Load() {
			return fmt.Errorf("as of now: %w", realtime.ErrExpired)
		}
		return nil
	}
	ts := serve(t, &realtime.Options{
		AuthorizeSubscribe: func(context.Context, *sharedata.Caller, string) error { return check() },
		AuthorizePropose:   func(context.Context, *sharedata.Caller, string, string) error { return check() },
	})
	ts.create("c")
	for name, message := range map[string]string{
		"subscribe": `{"v":1,"type":"subscribe","shareDataId":"c"}`,
		"propose":   `{"v":1,"type":"propose","shareDataId":"c","functionId":"add","proposedData":{"by":1},"correlationId":"1"}`,
	} {
		t.Run(name, func(t *testing.T) {
			expired.Store(false)
			p := ts.dial()
			p.T = t
			p.join("c", "")
			expired.Store(true)
			p.send("%s", message)
			p.wantClose(codes.CloseUnauthorized)
		})
	}
	if at := ts.cursor("c"); at.Revision != 1 {
		t.Errorf("the history is at %v: a proposal under expired credentials was evaluated", at)
	}
}

func TestCaller(t *testing.T) {
	caller := &sharedata.Caller{Subject: "ada", Claims: []byte(`{"role":"editor"}`), Value: 42}
	ts := serve(t, &realtime.Options{
		Authenticate: authenticateAs(caller),
		AuthorizeSubscribe: func(ctx context.Context, c *sharedata.Caller, id string) error {
			if c != caller || sharedata.CallerFrom(ctx) != caller || id != "c" {
				return errors.New("wrong")
			}
			return nil
		},
		AuthorizePropose: func(ctx context.Context, c *sharedata.Caller, id, function string) error {
			if c != caller || sharedata.CallerFrom(ctx) != caller || id != "c" || function != "add" {
				return errors.New("wrong")
			}
			return nil
		},
	})
	ts.create("c")
	p := ts.dial()
	state := p.join("c", "")
	p.propose("c", "add", `{"by":1}`, "1")
	p.wantTransactions(2, 2)
	want[*wire.ProposalResult](p)
	after := ts.cursor("c")
	after.Revision = state.Revision
	for entry, err := range ts.manager.History(t.Context(), "c", after) {
		if err != nil {
			t.Fatal(err)
		}
		if entry.Caller == nil || entry.Caller.Subject != "ada" || !bytes.Equal(entry.Caller.Claims, caller.Claims) {
			t.Errorf("recorded caller %+v", entry.Caller)
		}
	}
}

func TestSlowHook(t *testing.T) {
	asked, goOn := make(chan struct{}), make(chan struct{})
	ts := serve(t, &realtime.Options{
		AuthorizeSubscribe: func(_ context.Context, _ *sharedata.Caller, id string) error {
			if id == "a" {
				close(asked)
				<-goOn
			}
			return nil
		},
	})
	ts.create("a")
	ts.create("b")
	p := ts.dial()
	p.subscribe("a", "")
	p.propose("a", "add", `{"by":1}`, "a") // must see its effect, so it waits for the subscription
	<-asked
	p.wantPong("meanwhile")
	p.join("b", "")
	close(goOn)
	if state := want[*wire.State](p); state.ShareDataID != "a" || state.Revision != 1 {
		t.Fatalf("got %s", state.AppendTo(nil))
	}
	p.wantTransactions(2, 2)
	want[*wire.ProposalResult](p)
}

func TestHookPanic(t *testing.T) {
	var log strings.Builder
	done := make(chan struct{})
	ts := serve(t, &realtime.Options{
		Logger: slog.New(slog.NewTextHandler(&log, nil)),
		AuthorizeSubscribe: func(context.Context, *sharedata.Caller, string) error {
			defer close(done)
			panic("over the top")
		},
	})
	ts.create("c")
	p := ts.dial()
	p.subscribe("c", "")
	p.wantError(codes.UnauthorizedSubscribe, "c")
	<-done
	ts.server.Close()
	if got := log.String(); !strings.Contains(got, "over the top") || !strings.Contains(got, "authorize_test.go") {
		t.Errorf("log: %s", got)
	}
}
