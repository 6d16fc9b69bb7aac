package main

import (
	"context"
	"encoding/json"
	"errors"
	"strings"
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

const (
	channelKind = "channel"
	// idPrefix begins the ids of channels, so that they can have any name.
	idPrefix = "turbine/"
	// maxChannel is the length of the longest name of a channel, in bytes.
	maxChannel  = 512
	channelRule = "the name of a channel has 1 to 512 bytes and no control characters"
)

func idOf(channel string) string { return idPrefix + channel }

func channelOf(id string) string { return strings.TrimPrefix(id, idPrefix) }

// isChannel reports whether a text can be the name of a channel.
func isChannel(name string) bool {
	return name != "" && len(name) <= maxChannel && utf8.ValidString(name) && !strings.ContainsFunc(name, unicode.IsControl)
}

// publish is the function of channels.
var publish = sharedata.NewPatchFunction("publish", func(_ context.Context, _ sharedata.Document, data json.RawMessage) (sharedata.Patch, error) {
	var patch sharedata.Patch
	patch.Replace("", data)
	return patch, nil
})

// channels are the channels of a store.
type channels struct{ manager *sharedata.Manager }

// ensure creates a channel unless it exists.
func (c channels) ensure(ctx context.Context, channel string) error {
	if _, err := c.manager.Get(ctx, idOf(channel)); !errors.Is(err, sharedata.ErrUnknownShareData) {
		return err
	}
	_, err := c.manager.EnsureKind(ctx, idOf(channel), channelKind, nil)
	return err
}

// attempts is how often a publication is tried whose outcome is unknown, or that others
// were faster than.
const attempts = 3

// publish commits a publication: subscribers are sent it. It creates the channel if there
// is none.
func (c channels) publish(ctx context.Context, p publication) (err error) {
	for range attempts {
		_, err = c.manager.Propose(ctx, sharedata.Proposal{
			ShareDataID: idOf(p.Channel), FunctionID: publish.ID(), Data: p.Data, IdempotencyKey: p.Key,
		})
		switch {
		case errors.Is(err, sharedata.ErrUnknownShareData):
			if failure := c.ensure(ctx, p.Channel); failure != nil {
				return failure
			}
		case !errors.Is(err, sharedata.ErrOutcomeUnknown) && !errors.Is(err, sharedata.ErrBusy):
			return err
		}
	}
	return err
}
