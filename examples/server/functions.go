package main

import (
	"bytes"
	"context"
	"encoding/json"
	"math"

	"github.com/safe-go/safe/sharedata"
)

type counter struct {
	Value int64 `json:"value"`
}

type addInput struct {
	By int64 `json:"by"`
}

const addSchema = `{
	"type": "object",
	"properties": {"by": {"type": "integer", "description": "what to add; may be negative"}},
	"required": ["by"]
}`

// kinds are the sets of functions that this service knows.
func kinds() []sharedata.Kind {
	add := sharedata.NewFunction("add", func(_ context.Context, c counter, in addInput) (counter, error) {
		if in.By > 0 && c.Value > math.MaxInt64-in.By {
			return c, sharedata.Reject("the counter cannot grow that large")
		}
		if c.Value+in.By < 0 {
			return c, sharedata.Rejectf("the counter cannot go below zero: it is %d", c.Value)
		}
		c.Value += in.By
		return c, nil
	}).WithInputSchema(addSchema)

	reset := sharedata.NewFunction("reset", func(context.Context, counter, json.RawMessage) (counter, error) {
		return counter{}, nil
	})

	set := sharedata.NewRawFunction("set", func(_ context.Context, _, proposed json.RawMessage) (json.RawMessage, error) {
		if bytes.Equal(bytes.TrimSpace(proposed), []byte("null")) {
			return nil, sharedata.Reject("the document cannot be set to null")
		}
		return proposed, nil
	})

	mergeInto := sharedata.NewPatchFunction("merge", func(_ context.Context, document sharedata.Document, merge json.RawMessage) (sharedata.Patch, error) {
		if !isObject(merge) {
			return sharedata.Patch{}, sharedata.Reject("a merge patch that is no object would replace the whole document; use set")
		}
		return mergePatch(document, merge)
	})

	return []sharedata.Kind{
		sharedata.NewKind("counter", add, reset),
		sharedata.NewKind("doc", set, mergeInto),
	}
}
