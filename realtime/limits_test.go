package realtime_test

import (
	"context"
	"strconv"
	"strings"
	"testing"

	"github.com/safe-go/safe/internal/wire"
	"github.com/safe-go/safe/realtime"
	"github.com/safe-go/safe/schemas/codes"
	"github.com/safe-go/safe/sharedata"
)

// A result must not be sent before its proposal is counted out.
func TestInFlight_OneAtATime(t *testing.T) {
	ts := serve(t, &realtime.Options{MaxProposalsInFlight: 1})
	ts.create("c")
	p := ts.dial()
	p.unchecked = true
	for i := range 2000 {
		p.propose("c", "add", `{"by":1}`, strconv.Itoa(i))
		if result := want[*wire.ProposalResult](p); !result.Accepted {
			t.Fatalf("proposal %d: %s", i, result.AppendTo(nil))
		}
	}
}

func TestMaxProposalsInFlight(t *testing.T) {
	ts := serve(t, &realtime.Options{MaxProposalsInFlight: 2})
	slow, unblock := blockingFunction("slow")
	defer unblock()
	ts.create("c", slow)
	p := ts.dial()
	for i := range 3 {
		p.propose("c", "slow", "null", strconv.Itoa(i))
	}
	r := want[*wire.ProposalResult](p)
	if r.CorrelationID != "2" || r.Accepted || !strings.Contains(r.Error, "limit: 2 ") {
		t.Fatalf("got %s", r.AppendTo(nil))
	}
	unblock()
	for i := range 2 {
		if r := want[*wire.ProposalResult](p); r.CorrelationID != strconv.Itoa(i) || !r.Accepted {
			t.Fatalf("got %s", r.AppendTo(nil))
		}
	}
	p.propose("c", "add", `{"by":1}`, "again")
	if r := want[*wire.ProposalResult](p); !r.Accepted {
		t.Fatalf("got %s", r.AppendTo(nil))
	}
}

func TestInFlightBytes(t *testing.T) {
	const most = 1000
	ts := serve(t, &realtime.Options{MaxMessageBytes: most})
	slow, unblock := blockingFunction("slow")
	defer unblock()
	ts.create("c", slow)
	p := ts.dial()
	for i := range 6 {
		p.propose("c", "slow", quoted(most-200), strconv.Itoa(i))
	}
	r := want[*wire.ProposalResult](p)
	if r.CorrelationID != "5" || !strings.Contains(r.Error, "bytes") {
		t.Fatalf("got %s", r.AppendTo(nil))
	}
}

func TestMaxMessageBytes(t *testing.T) {
	const most = 4096
	ts := serve(t, &realtime.Options{MaxMessageBytes: most})
	p := ts.dial()
	frame := `{"v":1,"type":"ping","correlationId":"a","x":`
	p.send("%s", frame+quoted(most-len(frame)-1)+"}")
	want[*wire.Pong](p)
	p.send("%s", frame+quoted(most-len(frame))+"}")
	p.wantError(codes.InvalidMessage, "")
	p.wantClose(codes.CloseInvalidMessage)
}

func TestMaxSubscriptions(t *testing.T) {
	ts := serve(t, &realtime.Options{MaxSubscriptions: 2})
	for _, id := range []string{"a", "b", "c"} {
		ts.create(id)
	}
	p := ts.dial()
	p.join("a", "")
	p.join("b", "")
	p.subscribe("c", "")
	p.wantError(codes.TooManySubscriptions, "c")
	p.join("a", "") // again is not one more
	p.send(`{"v":1,"type":"unsubscribe","shareDataId":"a"}`)
	p.wantPong("sent before")
	for { // an unsubscribe has no reply
		p.subscribe("c", "")
		if _, ok := must(p).(*wire.State); ok {
			break
		}
	}
}

func TestSubscribe_QueueBound(t *testing.T) {
	goOn := make(chan struct{})
	ts := serve(t, &realtime.Options{
		MaxSubscriptions: 3,
		AuthorizeSubscribe: func(context.Context, *sharedata.Caller, string) error {
			<-goOn
			return nil
		},
	})
	defer close(goOn)
	p := ts.dial()
	for range 7 {
		p.subscribe("c", "")
	}
	p.wantError(codes.RateLimited, "c")
}
