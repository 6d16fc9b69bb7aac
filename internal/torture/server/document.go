package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"

	"github.com/safe-go/safe/sharedata"
)

// document is a state of several kilobytes, of which each function changes a little.
type document struct {
	Note  string `json:"note"`
	Items []item `json:"items"`
}

type item struct {
	Name  string `json:"name"`
	Count int    `json:"count"`
}

// Bounds of the number of items.
const minItems, maxItems = 60, 200

type itemInput struct {
	Index int    `json:"index"`
	Name  string `json:"name,omitempty"`
}

var errNoItem = sharedata.Reject("there is no such item")

// documentKind has functions of all three sorts: typed, raw, and with patches.
func documentKind() sharedata.Kind {
	return sharedata.NewKind("document",
		sharedata.NewFunction("rename", func(_ context.Context, d document, in itemInput) (document, error) {
			if in.Index >= len(d.Items) {
				return d, errNoItem
			}
			d.Items[in.Index].Name = in.Name
			return d, nil
		}),
		sharedata.NewRawFunction("note", func(_ context.Context, state, note json.RawMessage) (json.RawMessage, error) {
			_, items, found := bytes.Cut(state, []byte(`,"items":`))
			if !found || string(note) == "null" {
				return nil, sharedata.Reject("a note is a text")
			}
			return fmt.Appendf(nil, `{"note":%s,"items":%s`, note, items), nil
		}),
		sharedata.NewPatchFunction("count", func(_ context.Context, d sharedata.Document, in itemInput) (patch sharedata.Patch, err error) {
			var count int
			path := fmt.Sprintf("/items/%d/count", in.Index)
			if found, err := d.Decode(path, &count); !found || err != nil {
				return patch, errNoItem
			}
			patch.Replace(path, count+1)
			return patch, nil
		}),
		sharedata.NewPatchFunction("insert", func(_ context.Context, d sharedata.Document, in itemInput) (patch sharedata.Patch, err error) {
			_, full := d.Get(fmt.Sprintf("/items/%d", maxItems-1))
			if _, found := d.Get(fmt.Sprintf("/items/%d", in.Index)); full || !found {
				return patch, errNoItem
			}
			patch.Add(fmt.Sprintf("/items/%d", in.Index), item{Name: in.Name})
			return patch, nil
		}),
		sharedata.NewPatchFunction("remove", func(_ context.Context, d sharedata.Document, in itemInput) (patch sharedata.Patch, err error) {
			_, enough := d.Get(fmt.Sprintf("/items/%d", minItems))
			if _, found := d.Get(fmt.Sprintf("/items/%d", in.Index)); !enough || !found {
				return patch, errNoItem
			}
			patch.Remove(fmt.Sprintf("/items/%d", in.Index))
			return patch, nil
		}),
	)
}
