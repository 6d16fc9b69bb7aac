package main

import (
	"bytes"
	"context"
	"encoding/json"

	"github.com/safe-go/safe/sharedata"
)

type counter struct {
	Value int64 `json:"value"`
}

type addInput struct {
	By int64 `json:"by"`
}

// kinds are the functions that checker.Counter and checker.Register are the
// models of.
func kinds() []sharedata.Kind {
	return []sharedata.Kind{
		sharedata.NewKind("counter",
			sharedata.NewFunction("add", func(_ context.Context, c counter, in addInput) (counter, error) {
				if c.Value+in.By < 0 {
					return c, sharedata.Reject("the counter cannot go below zero")
				}
				c.Value += in.By
				return c, nil
			}),
			sharedata.NewFunction("reset", func(context.Context, counter, json.RawMessage) (counter, error) {
				return counter{}, nil
			}),
		),
		sharedata.NewKind("register",
			sharedata.NewRawFunction("set", func(_ context.Context, _, proposed json.RawMessage) (json.RawMessage, error) {
				if bytes.Equal(proposed, []byte("null")) {
					return nil, sharedata.Reject("a register cannot be set to null")
				}
				return proposed, nil
			}),
		),
	}
}
