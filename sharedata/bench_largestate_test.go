package sharedata_test

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/safe-go/safe/sharedata"
)

type member struct {
	N    int    `json:"n"`
	Text string `json:"text"`
}

// largeState has 2,000 members and 256 KiB.
func largeState() map[string]member {
	state := make(map[string]member, 2000)
	for i := range 2000 {
		state[fmt.Sprintf("m%04d", i)] = member{i, strings.Repeat("abcdefgh", 13)[:102]}
	}
	return state
}

// BenchmarkPropose_LargeState compares what a change of one number in a state of
// 256 KiB costs by the form of the function. codec is what encoding/json takes to decode
// and encode the state once.
func BenchmarkPropose_LargeState(b *testing.B) {
	type set struct {
		Member string
		N      int
	}
	patch := sharedata.NewPatchFunction("patch", func(_ context.Context, _ sharedata.Document, in set) (p sharedata.Patch, err error) {
		p.Replace(sharedata.Path(in.Member, "n"), in.N)
		return p, nil
	})
	raw := sharedata.NewRawFunction("raw", func(_ context.Context, state, data json.RawMessage) (json.RawMessage, error) {
		var in set
		if err := json.Unmarshal(data, &in); err != nil {
			return nil, err
		}
		before, rest, _ := strings.Cut(string(state), `"`+in.Member+`":{"n":`)
		_, rest, _ = strings.Cut(rest, ",")
		return fmt.Appendf(nil, `%s"%s":{"n":%d,%s`, before, in.Member, in.N, rest), nil
	})
	typed := sharedata.NewFunction("typed", func(_ context.Context, state map[string]member, in set) (map[string]member, error) {
		state[in.Member] = member{in.N, state[in.Member].Text}
		return state, nil
	})
	m, err := sharedata.NewManager(nil)
	if err != nil {
		b.Fatal(err)
	}
	defer m.Close()
	if _, err := m.Create(b.Context(), "x", largeState(), patch, raw, typed); err != nil {
		b.Fatal(err)
	}
	for _, function := range []string{"patch", "raw", "typed"} {
		b.Run(function, func(b *testing.B) {
			b.ReportAllocs()
			for i := 0; b.Loop(); i++ {
				data := set{fmt.Sprintf("m%04d", i*769%2000), i} // any member, as often as another
				if v, err := m.Propose(b.Context(), sharedata.Proposal{ShareDataID: "x", FunctionID: function, Data: data}); err != nil || !v.Accepted {
					b.Fatal(v, err)
				}
			}
		})
	}
	b.Run("codec", func(b *testing.B) {
		text, err := json.Marshal(largeState())
		if err != nil {
			b.Fatal(err)
		}
		b.SetBytes(int64(len(text)))
		for b.Loop() {
			var state map[string]member
			if err := json.Unmarshal(text, &state); err != nil {
				b.Fatal(err)
			}
			if _, err := json.Marshal(state); err != nil {
				b.Fatal(err)
			}
		}
	})
}
