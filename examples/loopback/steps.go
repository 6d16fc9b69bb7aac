package main

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"time"

	"github.com/safe-go/safe/client"
	"github.com/safe-go/safe/replay"
	"github.com/safe-go/safe/schemas/codes"
	"github.com/safe-go/safe/sharedata"
)

type counter struct {
	Value int `json:"value"`
}

type addInput struct {
	By int `json:"by"`
}

// add is the only way for clients to change the counter, which never goes below
// zero. A rejection has a code for programs, a reason for people, and details.
var add = sharedata.NewFunction("add", func(_ context.Context, c counter, in addInput) (counter, error) {
	if c.Value+in.By < 0 {
		return c, sharedata.RejectWith("below-zero", "the counter cannot go below zero", map[string]int{"value": c.Value})
	}
	c.Value += in.By
	return c, nil
}).WithInputSchema(`{"type":"object","properties":{"by":{"type":"integer"}},"required":["by"]}`)

func (t *tour) create(ctx context.Context) error {
	snapshot, err := t.manager.Create(ctx, "counter", counter{}, add)
	if err != nil {
		return err
	}
	say("\"counter\" begins as %s, with the function \"add\"", snapshot.State)
	return nil
}

func (t *tour) connect(ctx context.Context) (err error) {
	if t.first, err = client.Dial(ctx, t.url, nil); err != nil {
		return err
	}
	// The second client reconnects faster than by default, to keep the tour short.
	t.second, err = client.Dial(ctx, t.url, &client.Options{
		HTTPClient: t.network.httpClient(),
		Backoff:    client.Backoff{Initial: 20 * time.Millisecond, Max: 100 * time.Millisecond},
	})
	if err != nil {
		return err
	}
	say("both are connected to %s", t.url)
	return nil
}

func (t *tour) subscribe(ctx context.Context) error {
	t.firstEvents, t.secondEvents = t.first.Subscribe("counter"), t.second.Subscribe("counter")
	for _, sub := range []*client.Subscription{t.firstEvents, t.secondEvents} {
		state, err := next[*client.State](ctx, sub)
		if err != nil {
			return err
		}
		say("state %s at revision %d", state.CurrentState, state.Revision)
		t.oldCursor = state.Cursor
	}
	return nil
}

func (t *tour) propose(ctx context.Context) error {
	for _, p := range []struct {
		by       int
		accepted bool
	}{{5, true}, {-7, false}, {-2, true}} {
		result, err := t.first.Propose(ctx, "counter", "add", addInput{By: p.by})
		if err != nil {
			return err
		}
		say("add %+d: %s", p.by, verdict(result))
		if err := check(result.Accepted == p.accepted, "add %+d was %s", p.by, verdict(result)); err != nil {
			return err
		}
	}
	_, err := t.first.Propose(ctx, "counter", "add", map[string]string{"by": "much"})
	var refused *client.ProposalError
	if !errors.As(err, &refused) {
		return fmt.Errorf("data that does not fit the schema: %v", err)
	}
	say("refused with the code %q, so nothing happened: %s", refused.Code, refused.Message)
	return check(refused.Code == codes.InvalidInput, "the refusal has the code %q", refused.Code)
}

func (t *tour) watch(ctx context.Context) error {
	for _, watcher := range []struct {
		name string
		sub  *client.Subscription
	}{{"first", t.firstEvents}, {"second", t.secondEvents}} {
		for revision := uint64(2); revision <= 4; revision++ {
			transaction, err := next[*client.Transaction](ctx, watcher.sub)
			if err != nil {
				return err
			}
			say("the %s client: revision %d, accepted: %v, state %s", watcher.name, transaction.Revision, transaction.Accepted, transaction.CurrentState)
			if err := check(transaction.Revision == revision, "revision %d came instead of %d", transaction.Revision, revision); err != nil {
				return err
			}
		}
	}
	return nil
}

func (t *tour) ping(ctx context.Context) error {
	roundTrip, err := t.second.Ping(ctx)
	if err != nil {
		return err
	}
	say("the server answered in %v", roundTrip.Round(time.Microsecond))
	return nil
}

func (t *tour) repeat(ctx context.Context) error {
	proposal := client.Proposal{ShareDataID: "counter", FunctionID: "add", Data: addInput{By: 10}, IdempotencyKey: "tour-1"}
	once, err := t.first.ProposeWith(ctx, proposal)
	if err != nil {
		return err
	}
	again, err := t.second.ProposeWith(ctx, proposal)
	if err != nil {
		return err
	}
	say("first: %s as %s", verdict(once), once.TransactionID)
	say("again: %s as %s, duplicate: %v", verdict(again), again.TransactionID, again.Duplicate)
	if err := check(again.Duplicate && !once.Duplicate && again.TransactionID == once.TransactionID, "the repeat was evaluated again"); err != nil {
		return err
	}
	for _, sub := range []*client.Subscription{t.firstEvents, t.secondEvents} {
		transaction, err := next[*client.Transaction](ctx, sub)
		if err != nil {
			return err
		}
		if v, err := value(transaction); err != nil || v != 13 {
			return fmt.Errorf("the counter is at %d instead of 13: %v", v, err)
		}
	}
	say("the counter is at 13")
	return nil
}

func (t *tour) cut(ctx context.Context) error {
	t.network.cut()
	say("the network of the second client is cut")
	for range 3 {
		if _, err := t.first.Propose(ctx, "counter", "add", addInput{By: 1}); err != nil {
			return err
		}
		if _, err := next[*client.Transaction](ctx, t.firstEvents); err != nil {
			return err
		}
	}
	say("the first client proposed three times meanwhile")
	replied := make(chan error, 1)
	go func() {
		_, err := t.second.Propose(ctx, "counter", "add", addInput{By: 100})
		replied <- err
	}()
	say("the second client proposes too: its proposal waits for a connection")
	t.network.repair()
	say("the network is repaired")

	state, err := next[*client.State](ctx, t.secondEvents)
	if err != nil {
		return err
	}
	say("the second client: state %s, resumed: %v, replaying %d", state.CurrentState, state.Resumed, state.Replaying)
	if err := check(state.Resumed && state.Replaying == 3, "it was not resumed with three replayed transactions: %+v", state); err != nil {
		return err
	}
	for revision := uint64(6); revision <= 9; revision++ {
		transaction, err := next[*client.Transaction](ctx, t.secondEvents)
		if err != nil {
			return err
		}
		say("the second client: revision %d, replayed: %v", transaction.Revision, transaction.Replayed)
		if err := check(transaction.Revision == revision && transaction.Replayed == (revision < 9), "revision %d came instead of %d", transaction.Revision, revision); err != nil {
			return err
		}
	}
	if err := <-replied; err != nil {
		return err
	}
	say("and its own proposal has its verdict")
	_, err = next[*client.Transaction](ctx, t.firstEvents)
	return err
}

func (t *tour) gap(ctx context.Context) error {
	late, err := client.Dial(ctx, t.url, nil)
	if err != nil {
		return err
	}
	defer late.Close()
	sub := late.SubscribeFrom("counter", t.oldCursor)
	missed, err := next[*client.Gap](ctx, sub)
	if err != nil {
		return err
	}
	state, err := next[*client.State](ctx, sub)
	if err != nil {
		return err
	}
	say("gap after %s: %s", missed.Cursor, missed.Reason)
	say("then the state: %s at revision %d", state.CurrentState, state.Revision)
	return check(!state.Resumed && state.Revision == 9, "the state after the gap is %+v", state)
}

func (t *tour) unknown(ctx context.Context) error {
	other, err := client.Dial(ctx, t.url, nil)
	if err != nil {
		return err
	}
	defer other.Close()
	counts := other.Subscribe("counter")
	if _, err := next[*client.State](ctx, counts); err != nil {
		return err
	}
	_, err = next[*client.State](ctx, other.Subscribe("nowhere"))
	if !errors.Is(err, client.ErrUnknownShareData) {
		return fmt.Errorf("subscribe to an unknown ShareData: %v", err)
	}
	say("%v", err)
	if _, err := other.Propose(ctx, "counter", "add", addInput{By: 1}); err != nil {
		return err
	}
	// No State is delivered in between: the connection was kept.
	for _, sub := range []*client.Subscription{counts, t.firstEvents, t.secondEvents} {
		if _, err := next[*client.Transaction](ctx, sub); err != nil {
			return err
		}
	}
	say("the connection and its other subscription go on")
	return nil
}

func (t *tour) update(ctx context.Context) error {
	if _, err := t.manager.Update(ctx, "counter", counter{Value: 1000}); err != nil {
		return err
	}
	for _, sub := range []*client.Subscription{t.firstEvents, t.secondEvents} {
		updated, err := next[*client.Lifecycle](ctx, sub)
		if err != nil {
			return err
		}
		say("updated to %s at revision %d", updated.CurrentState, updated.Revision)
		if v, err := value(updated); err != nil || v != 1000 || updated.Removed {
			return fmt.Errorf("the update is %+v: %v", updated, err)
		}
	}
	return nil
}

func (t *tour) verify(ctx context.Context) error {
	for entry, err := range t.manager.History(ctx, "counter", replay.Cursor{}) {
		if err != nil {
			return err
		}
		say("%2d  %-11s  %-12s  %s %s hash %.12s…", entry.Revision(), entry.Type, entry.Data, entry.Code, entry.Details, entry.Hash)
	}
	chain, err := t.manager.VerifyHistory(ctx, "counter")
	if err != nil {
		return err
	}
	say("the chain is unbroken from %s to %s", chain.First, chain.Last)
	return check(chain.Last.Revision == 11, "the history ends at %s", chain.Last)
}

func (t *tour) remove(ctx context.Context) error {
	if err := t.manager.Remove(ctx, "counter"); err != nil {
		return err
	}
	for _, sub := range []*client.Subscription{t.firstEvents, t.secondEvents} {
		removed, err := next[*client.Lifecycle](ctx, sub)
		if err != nil {
			return err
		}
		if err := check(removed.Removed, "the removal is %+v", removed); err != nil {
			return err
		}
		if _, err := next[*client.State](ctx, sub); !errors.Is(err, errEnded) {
			return fmt.Errorf("an event came after the removal: %v", err)
		}
	}
	say("both clients received the removal, and nothing after it")
	return nil
}

func (t *tour) shutdown(ctx context.Context) error {
	statusNow, stop := iter.Pull(t.first.Statuses(ctx))
	defer stop()
	if status, _ := statusNow(); status.State != client.Open {
		return fmt.Errorf("the first client is %v", status.State)
	}
	if err := t.server.Shutdown(ctx); err != nil {
		return err
	}
	status, _ := statusNow()
	say("the first client: %v", status.Err)
	var ended *client.DisconnectError
	if !errors.As(status.Err, &ended) || ended.Code != codes.CloseGoingAway {
		return fmt.Errorf("the connection ended with %v", status.Err)
	}
	t.close()
	say("server and clients are closed")
	return ctx.Err()
}
