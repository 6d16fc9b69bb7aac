package main

import (
	"context"
	"encoding/json"
	"errors"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/safe-go/safe/sharedata"
)

// A channel is a ShareData whose transactions are its publications. Its state is the data
// of the latest one: null before the first.

// publication is what is published to a channel. Repeats with one key take effect once.
type publication struct {
	Channel string          `json:"channel"`
	Data    json.RawMessage `json:"data"`
	Key     string          `json:"-"`
}

// publishFunction has the data of a publication as the new state.
var publishFunction = sharedata.NewPatchFunction("publish",
	func(_ context.Context, _ sharedata.Document, data json.RawMessage) (patch sharedata.Patch, err error) {
		patch.Replace("", data)
		return patch, nil
	})

var channelKind = sharedata.NewKind("channel", publishFunction)

// idPrefix begins the ids of channels, so that they can have any name.
const idPrefix = "turbine/"

func idOf(channel string) string { return idPrefix + channel }

func channelOf(id string) string { return strings.TrimPrefix(id, idPrefix) }

// channelRule says what isChannel checks.
const channelRule = "the name of a channel has 1 to 512 bytes and no control characters"

func isChannel(name string) bool {
	return name != "" && len(name) <= 512 && utf8.ValidString(name) && !strings.ContainsFunc(name, unicode.IsControl)
}

// ensureChannel creates a channel unless it exists. A channel that is known can be used while
// the store is out of reach, which is why Get comes first.
func (n *node) ensureChannel(ctx context.Context, channel string) error {
	_, err := n.manager.Get(ctx, idOf(channel))
	if errors.Is(err, sharedata.ErrUnknownShareData) {
		_, err = n.manager.EnsureKind(ctx, idOf(channel), channelKind.Name, nil)
	}
	return err
}

// publish commits a publication, upon which subscribers are sent it. It creates the channel
// if there is none. A publisher that goes away does not end it, because what is committed has
// to be forwarded too.
func (n *node) publish(ctx context.Context, p publication) (err error) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 30*time.Second)
	defer cancel()
	for range 3 { // attempts, where the outcome is unknown or other nodes were faster
		_, err = n.manager.Propose(ctx, sharedata.Proposal{
			ShareDataID: idOf(p.Channel), FunctionID: publishFunction.ID(), Data: p.Data, IdempotencyKey: p.Key,
		})
		switch {
		case errors.Is(err, sharedata.ErrUnknownShareData):
			if failure := n.ensureChannel(ctx, p.Channel); failure != nil {
				return failure
			}
		case !errors.Is(err, sharedata.ErrOutcomeUnknown) && !errors.Is(err, sharedata.ErrBusy):
			return err
		}
	}
	return err
}
