package sharedata_test

import (
	"context"
	"testing"
	"time"

	"github.com/safe-go/safe/internal/sharedstore"
	"github.com/safe-go/safe/replay"
	"github.com/safe-go/safe/sharedata"
)

// node is one of several processes that share a store: its manager, and its connection to
// the store.
type node struct {
	*sharedata.Manager
	process *sharedstore.Process
}

// newNode returns another process. Nil options are the defaults. The Store of options, if
// any, must use the process.
func newNode(t testing.TB, process *sharedstore.Process, options *sharedata.Options) node {
	t.Helper()
	var o sharedata.Options
	if options != nil {
		o = *options
	}
	if o.Store == nil {
		o.Store = process
	}
	t.Cleanup(func() { process.Close() })
	return node{newManager(t, &o), process}
}

// newProxiedNode returns another process whose calls of the store can be intercepted.
func newProxiedNode(t testing.TB, shared *sharedstore.Medium) (node, *proxy) {
	t.Helper()
	process := shared.Process()
	s := newProxy(process)
	return newNode(t, process, &sharedata.Options{Store: s}), s
}

// twoNodes share a store, in which "counter" is at 0. Both know add and
// broken, also after it is created again. They have the options, if there are any.
func twoNodes(t testing.TB, options ...*sharedata.Options) (shared *sharedstore.Medium, a, b node) {
	t.Helper()
	shared = sharedstore.New()
	var o *sharedata.Options
	if len(options) > 0 {
		o = options[0]
	}
	a, b = newNode(t, shared.Process(), o), newNode(t, shared.Process(), o)
	ensureCounter(t, a)
	ensureCounter(t, b)
	return shared, a, b
}

func ensureCounter(t testing.TB, n node) sharedata.Snapshot {
	t.Helper()
	snapshot, err := n.Ensure(context.Background(), "counter", Counter{}, add, broken)
	if err != nil {
		t.Fatal(err)
	}
	return snapshot
}

// add adds to "counter".
func (n node) add(t testing.TB, by int) sharedata.Verdict {
	t.Helper()
	return mustAdd(t, n.Manager, "counter", by)
}

// get returns the snapshot of "counter".
func (n node) get(t testing.TB) sharedata.Snapshot {
	t.Helper()
	return mustGet(t, n.Manager, "counter")
}

// refresh returns the snapshot that Refresh gives of "counter".
func (n node) refresh(t testing.TB) sharedata.Snapshot {
	t.Helper()
	snapshot, err := n.Refresh(context.Background(), "counter")
	if err != nil {
		t.Fatal(err)
	}
	return snapshot
}

// calls returns how often the process calls a method of the store meanwhile.
func (n node) calls(method string, meanwhile func()) int {
	before := n.process.Calls()[method]
	meanwhile()
	return n.process.Calls()[method] - before
}

// proxy is the store of a process with methods that can be intercepted.
type proxy struct {
	store
	replay.Follower
}

func newProxy(p *sharedstore.Process) *proxy {
	return &proxy{store: store{Store: p}, Follower: p}
}

// eventually waits for a condition, outside of synctest bubbles.
func eventually(t testing.TB, what string, is func() bool) {
	t.Helper()
	for deadline := time.Now().Add(10 * time.Second); !is(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("timed out waiting for %s", what)
		}
	}
}
