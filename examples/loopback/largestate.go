package main

import (
	"context"
	"fmt"
	"time"

	"github.com/safe-go/safe/client"
	"github.com/safe-go/safe/sharedata"
)

type item struct {
	Name  string `json:"name"`
	Price int    `json:"price"`
}

type priceInput struct {
	Item  string `json:"item"`
	Price int    `json:"price"`
}

// setPrice changes one number in a large state. It reads and writes only that.
var setPrice = sharedata.NewPatchFunction("set-price", func(_ context.Context, catalogue sharedata.Document, in priceInput) (sharedata.Patch, error) {
	var patch sharedata.Patch
	price := sharedata.Path(in.Item, "price")
	if _, found := catalogue.Get(price); !found {
		return patch, sharedata.Rejectf("there is no %q", in.Item)
	}
	patch.Replace(price, in.Price)
	return patch, nil
})

// largeState shows that a change of a large state costs what it changes: live, and
// after a disconnect.
func (t *tour) largeState(ctx context.Context) error {
	catalogue := make(map[string]item)
	for i := range 2000 {
		catalogue[fmt.Sprint("item-", i)] = item{Name: fmt.Sprintf("the item with the number %d, of which this is a description of some length", i), Price: i}
	}
	created, err := t.manager.Create(ctx, "catalogue", catalogue, setPrice)
	if err != nil {
		return err
	}
	var network network
	watcher, err := client.Dial(ctx, t.url, &client.Options{
		HTTPClient: network.httpClient(),
		Backoff:    client.Backoff{Initial: 20 * time.Millisecond, Max: 100 * time.Millisecond},
	})
	if err != nil {
		return err
	}
	defer watcher.Close()
	sub := watcher.Subscribe("catalogue")
	if _, err := next[*client.State](ctx, sub); err != nil {
		return err
	}
	say("\"catalogue\" has %d bytes; a subscriber has received %d", len(created.State), network.received())

	before := network.received()
	if err := t.setPrices(ctx, 1); err != nil {
		return err
	}
	changed, err := next[*client.Transaction](ctx, sub)
	if err != nil {
		return err
	}
	say("one price changes: it receives %d bytes, with the patch %s", network.received()-before, changed.Patch)

	network.cut()
	if err := t.setPrices(ctx, 3); err != nil {
		return err
	}
	before = network.received()
	network.repair()
	state, err := next[*client.State](ctx, sub)
	if err != nil {
		return err
	}
	for range 3 {
		if changed, err = next[*client.Transaction](ctx, sub); err != nil {
			return err
		}
	}
	received := network.received() - before
	say("three more change while it is disconnected: to resume, it receives %d bytes, handshake included, and no state", received)
	if err := check(state.Resumed && received < 5000, "it received %d bytes, resumed: %t", received, state.Resumed); err != nil {
		return err
	}
	now, err := t.manager.Get(ctx, "catalogue")
	if err != nil {
		return err
	}
	say("what it computed is what the service has: SHA-256 %.12s…", now.StateHash)
	return check(sharedata.HashState(changed.CurrentState) == now.StateHash, "the subscriber has another state")
}

// setPrices has the first client change some prices.
func (t *tour) setPrices(ctx context.Context, n int) error {
	for i := range n {
		result, err := t.first.Propose(ctx, "catalogue", "set-price", priceInput{Item: fmt.Sprint("item-", i), Price: 7 * (i + 1) * n})
		if err != nil {
			return err
		}
		if err := check(result.Accepted, "the price was %s", verdict(result)); err != nil {
			return err
		}
	}
	return nil
}
