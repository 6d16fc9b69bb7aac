package redis

import (
	"context"
	"errors"
	"testing"

	"github.com/safe-go/safe/internal/redistest"
	"github.com/safe-go/safe/sharedata"
)

type counter struct {
	Value int `json:"value"`
}

var add = sharedata.NewFunction("add", func(_ context.Context, c counter, by int) (counter, error) {
	return counter{c.Value + by}, nil
})

// manage returns the manager of a process that has a counter at 0.
func manage(t *testing.T, s *Store) *sharedata.Manager {
	t.Helper()
	m, err := sharedata.NewManager(&sharedata.Options{Store: s})
	must(t, err)
	t.Cleanup(func() { _ = m.Close() })
	_, err = m.Ensure(t.Context(), "counter", counter{}, add)
	must(t, err)
	return m
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// The reply to the append of a proposal without a key is lost, and before it is sent
// again another process changes the counter. The proposal has one verdict, or an unknown
// outcome; it is not decided again where it may have been decided before.
func TestManager_ProposalDecidedOnce(t *testing.T) {
	server := redistest.Start(t, nil)
	p := newProxy(t, server.Addr())
	a := manage(t, open(t, p.patientClient(t), &Options{Timeout: patience}))
	b := manage(t, open(t, server.Client(), &Options{MaxEntries: 1}))
	proposal := sharedata.Proposal{ShareDataID: "counter", FunctionID: "add", Data: 7}
	add7 := func(t *testing.T, m *sharedata.Manager) {
		t.Helper()
		_, err := m.Propose(t.Context(), proposal)
		must(t, err)
	}
	remove := func(t *testing.T) { must(t, b.Remove(t.Context(), "counter")) }
	for _, test := range []struct {
		name      string
		meanwhile func(t *testing.T)
		unknown   bool
		state     string // at the end; empty for no counter
	}{
		{"no change", func(*testing.T) {}, false, `{"value":7}`},
		{"appended", func(t *testing.T) { add7(t, b) }, false, `{"value":14}`},
		{"trimmed", func(t *testing.T) {
			for range slack + 10 {
				add7(t, b)
			}
		}, true, `{"value":777}`},
		{"created again", func(t *testing.T) {
			remove(t)
			_, err := b.Create(t.Context(), "counter", counter{}, add)
			must(t, err)
		}, true, `{"value":0}`},
		{"removed", remove, true, ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			_, err := b.Update(t.Context(), "counter", counter{})
			must(t, err)
			_, err = a.Refresh(t.Context(), "counter")
			must(t, err)
			var verdict sharedata.Verdict
			err = p.loseReplyAfter(t, `"functionId":"add"`, func() { test.meanwhile(t) }, func() (err error) {
				verdict, err = a.Propose(t.Context(), proposal)
				return err
			})
			if errors.Is(err, sharedata.ErrOutcomeUnknown) != test.unknown || verdict.Accepted == test.unknown {
				t.Errorf("the verdict is %+v, %v; want an unknown outcome: %t", verdict, err, test.unknown)
			}
			for _, m := range []*sharedata.Manager{a, b} {
				got, err := m.Refresh(t.Context(), "counter")
				if string(got.State) != test.state || (err != nil) != (test.state == "") {
					t.Errorf("the state is %s, %v; want %q", got.State, err, test.state)
				}
			}
		})
	}
}
