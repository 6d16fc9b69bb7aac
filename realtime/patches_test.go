package realtime_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"

	"github.com/safe-go/safe/internal/jsonpatch"
	"github.com/safe-go/safe/internal/wire"
	"github.com/safe-go/safe/realtime"
	"github.com/safe-go/safe/replay"
	"github.com/safe-go/safe/schemas/codes"
	"github.com/safe-go/safe/sharedata"
)

// patched is a subscriber with patches: it has the state that they lead to.
type patched struct {
	*testing.T
	state  json.RawMessage
	hashes int // how many hashes it compared
}

// apply applies what a frame says about the state.
func (s *patched) apply(whole, patch json.RawMessage, hash string) {
	s.Helper()
	if whole != nil && patch != nil {
		s.Fatal("a frame with a state and a patch")
	}
	if whole != nil {
		s.state = whole
	}
	if patch != nil {
		after, err := jsonpatch.Apply(s.state, patch)
		if err != nil {
			s.Fatalf("%s on %.200s: %v", patch, s.state, err)
		}
		s.state = after
	}
	if hash != "" {
		s.hashes++
		if got := sharedata.HashState(s.state).String(); got != hash {
			s.Fatalf("the state %.200s has the hash %s, want %s", s.state, got, hash)
		}
	}
}

// read applies a frame.
func (s *patched) read(message wire.ServerMessage) {
	s.Helper()
	switch m := message.(type) {
	case *wire.State:
		s.apply(m.CurrentState, nil, m.StateHash)
	case *wire.Transaction:
		s.apply(m.CurrentState, m.Patch, m.StateHash)
	case *wire.Lifecycle:
		s.apply(m.CurrentState, m.Patch, m.StateHash)
	}
}

func (s *patched) want(ts *testServer, id string) {
	s.Helper()
	at, err := ts.manager.Get(context.Background(), id)
	if err != nil || !bytes.Equal(at.State, s.state) {
		s.Errorf("got %.200s, want %.200s; %v", s.state, at.State, err)
	}
}

// subscribePatches subscribes with patches and reads the state.
func (p *peer) subscribePatches(id, since, more string) *wire.State {
	p.Helper()
	if since != "" {
		since = `,"since":"` + since + `"`
	}
	p.send(`{"v":1,"type":"subscribe","shareDataId":"%s","patches":true%s%s}`, id, since, more)
	state := want[*wire.State](p)
	if !state.HasReplaying || state.StateHash == "" {
		p.Fatalf("got %.300s", state.AppendTo(nil))
	}
	return state
}

var keep = sharedata.NewFunction("keep", func(_ context.Context, c counter, _ any) (counter, error) { return c, nil })

func TestPatches_Live(t *testing.T) {
	ts := serve(t, nil)
	if _, err := ts.manager.Create(t.Context(), "c", counter{Pad: strings.Repeat("x", 100<<10)}, add, keep); err != nil {
		t.Fatal(err)
	}
	p := ts.dial()
	s := &patched{T: t}
	s.read(p.subscribePatches("c", "", ""))
	for revision := uint64(2); revision <= 100; revision++ {
		function, data := "add", `{"by":1}`
		switch revision % 5 {
		case 0:
			function = "keep"
		case 1:
			data = `{"by":-1000}` // rejected
		}
		p.propose("c", function, data, "1")
		tx := want[*wire.Transaction](p)
		s.read(tx)
		want[*wire.ProposalResult](p)
		if n := len(tx.AppendTo(nil)); n > 300 || tx.CurrentState != nil || (tx.Patch != nil) != (revision%5 > 1) {
			t.Fatalf("%d bytes: %.400s", n, tx.AppendTo(nil))
		}
		if (tx.StateHash != "") != (revision%32 == 0) {
			t.Errorf("at %d: hash %q", revision, tx.StateHash)
		}
	}
	s.want(ts, "c")
	if _, err := ts.manager.Update(t.Context(), "c", counter{Value: 7}); err != nil {
		t.Fatal(err)
	}
	if m := want[*wire.Lifecycle](p); string(m.CurrentState) != `{"value":7}` {
		t.Errorf("got %s", m.AppendTo(nil))
	}
	if s.hashes != 4 {
		t.Errorf("%d hashes", s.hashes)
	}
}

func TestPatches_Resume(t *testing.T) {
	ts := serve(t, nil)
	ts.createPadded("c", 1<<10)
	since := ts.cursor("c")
	s := &patched{T: t, state: json.RawMessage(`{"value":0,"pad":"` + strings.Repeat("x", 1<<10) + `"}`)}
	ts.add("c", 40)
	if _, err := ts.manager.Update(t.Context(), "c", counter{Value: 7, Pad: strings.Repeat("y", 1<<10)}); err != nil {
		t.Fatal(err)
	}
	ts.add("c", 5)
	head := ts.cursor("c")

	p := ts.dial()
	state := p.subscribePatches("c", since.String(), "")
	if !state.Resumed || state.CurrentState != nil || state.Replaying != 46 || state.Cursor != head.String() {
		t.Fatalf("got %.300s", state.AppendTo(nil))
	}
	for range 46 {
		s.read(must(p))
	}
	s.read(state) // the hash is that of the state at its cursor
	s.want(ts, "c")
	if s.hashes != 2 {
		t.Errorf("%d hashes", s.hashes)
	}
	ts.add("c", 1)
	s.read(must(p))
	s.want(ts, "c")

	p = ts.dial()
	state = p.subscribePatches("c", ts.cursor("c").String(), "")
	if !state.Resumed || state.CurrentState != nil || state.Replaying != 0 {
		t.Errorf("at the head: %.300s", state.AppendTo(nil))
	}
	s.read(state)

	p = ts.dial()
	state = p.subscribePatches("c", since.String(), `,"includeState":true`)
	if !state.Resumed || state.CurrentState == nil || state.Replaying != 47 {
		t.Errorf("with the state: %.300s", state.AppendTo(nil))
	}
	if tx := want[*wire.Transaction](p); tx.Patch == nil {
		t.Errorf("with the state: %.300s", tx.AppendTo(nil))
	}

	p = ts.dial()
	state = p.subscribePatches("c", replay.Cursor{Epoch: since.Epoch + 1, Revision: 1}.String(), "")
	if state.Resumed || state.CurrentState == nil {
		t.Errorf("from another epoch: %.300s", state.AppendTo(nil))
	}
	p.wantError(codes.ReplayCursorNotFound, "c")
}

// earlierStore is a store of which an earlier release wrote a part: transactions do
// not record what they changed.
type earlierStore struct {
	replay.Store
	earlier atomic.Bool
}

func (s *earlierStore) Append(ctx context.Context, id string, batch replay.Batch) error {
	for i := range batch.Entries {
		var e sharedata.Entry
		if err := json.Unmarshal(batch.Entries[i].Data, &e); err != nil {
			return err
		}
		if !s.earlier.Load() || e.Type != sharedata.EntryTransaction {
			continue
		}
		batch.Snapshot, e.NewState = e.NewState, nil // these states are smaller than patches
		batch.Entries[i].Data, _ = json.Marshal(e)
	}
	return s.Store.Append(ctx, id, batch)
}

// serveEarlier serves what another process wrote to a store: n times "add", with
// padding beside the data, by the earlier release if that is set.
func serveEarlier(t *testing.T, padding int, earlier ...bool) (ts *testServer, since string) {
	memory, err := replay.NewMemory(nil)
	if err != nil {
		t.Fatal(err)
	}
	store := &earlierStore{Store: memory}
	writer := newTestServer(t, sharedata.Options{Store: store}, nil)
	writer.create("c")
	since = writer.cursor("c").String()
	for _, is := range earlier {
		store.earlier.Store(is)
		data := json.RawMessage(fmt.Sprintf(`{"by":1,"pad":%s}`, quoted(padding)))
		if _, err := writer.manager.Propose(t.Context(), sharedata.Proposal{ShareDataID: "c", FunctionID: "add", Data: data}); err != nil {
			t.Fatal(err)
		}
	}
	return serveStore(t, memory, nil), since
}

func TestPatches_EarlierRelease(t *testing.T) {
	ts, since := serveEarlier(t, 10, true, true, false)
	p := ts.dial()
	state := p.subscribePatches("c", since, "")
	if !state.Resumed || string(state.CurrentState) != `{"value":3}` || state.Replaying != 3 {
		t.Fatalf("got %s", state.AppendTo(nil))
	}
	for revision := uint64(2); revision <= 4; revision++ {
		if tx := want[*wire.Transaction](p); tx.Revision != revision || tx.Patch != nil || (tx.CurrentState != nil) != (revision == 4) {
			t.Errorf("got %s", tx.AppendTo(nil))
		}
	}
	p = ts.dial()
	if state := p.subscribePatches("c", strings.TrimSuffix(since, "1")+"3", ""); state.CurrentState != nil || !state.Resumed {
		t.Errorf("got %s", state.AppendTo(nil))
	}
}

// A replay that comes to such an entry after the state frame begins again.
func TestPatches_EarlierReleaseLater(t *testing.T) {
	ts, since := serveEarlier(t, 300<<10, false, true)
	p := ts.dial()
	if state := p.subscribePatches("c", since, ""); state.CurrentState != nil {
		t.Fatalf("got %s", state.AppendTo(nil))
	}
	want[*wire.Transaction](p)
	if state := want[*wire.State](p); string(state.CurrentState) != `{"value":2}` || state.Resumed || state.StateHash == "" {
		t.Errorf("got %s", state.AppendTo(nil))
	}
	p.wantError(codes.ReplayCursorNotFound, "c")
	p.wantPong("the end")
}

func TestPatches_Reauthorize(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var rules policy
		ts := servePipes(t, &realtime.Options{AuthorizeSubscribe: rules.authorize, Heartbeat: -1})
		ts.createPadded("c", 1<<10)
		p := dialPipe(ts)
		s := &patched{T: t}
		s.read(p.subscribePatches("c", "", ""))
		goOn := make(chan struct{})
		rules.set(func(context.Context, *sharedata.Caller, string) error {
			<-goOn
			return nil
		})
		done := make(chan error)
		go func() { done <- ts.server.Reauthorize(t.Context()) }()
		synctest.Wait()
		ts.add("c", 3)
		p.wantPong("nothing came")
		close(goOn)
		if err := <-done; err != nil {
			t.Fatal(err)
		}
		for range 3 {
			tx := want[*wire.Transaction](p)
			if s.read(tx); tx.Patch == nil {
				t.Errorf("got %.200s", tx.AppendTo(nil))
			}
		}
		s.want(ts, "c")
	})
}
