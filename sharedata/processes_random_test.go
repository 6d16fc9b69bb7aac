package sharedata_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/safe-go/safe/internal/sharedstore"
	"github.com/safe-go/safe/replay"
	"github.com/safe-go/safe/sharedata"
)

// Three processes on one store do random things while the store has all kinds of
// faults. Then everything that callers and observers were given is checked. Nothing
// depends on how long it takes.
func TestProcesses_Random(t *testing.T) {
	seeds := uint64(12)
	if testing.Short() {
		seeds = 3
	}
	for name, loss := range map[string]losses{
		"nothing is lost":      {},
		"the store rolls back": {rollback: true},
		"the store is lost":    {rollback: true, flush: true},
	} {
		for seed := range seeds {
			t.Run(fmt.Sprint(name, ", seed ", seed), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					w := newWorkload(t, seed, loss)
					w.run()
					w.quiesce()
					w.check()
				})
			})
		}
	}
}

// losses are the faults by which the store loses what it has acknowledged.
type losses struct{ rollback, flush bool }

func (l losses) any() bool { return l.rollback || l.flush }

// workload is one run of random operations. "kept" is never removed, "churned" is at
// times.
type workload struct {
	t      *testing.T
	random *rand.Rand // used by run alone
	losses losses
	shared *sharedstore.Medium
	nodes  []node
	all    []recorder // the observers of every ShareData, by node

	mu           sync.Mutex
	faulty       bool // loads may fail
	proposed     []proposed
	observations []*observation
	resets       int
}

// proposed is a proposal and its last reply.
type proposed struct {
	id, key string
	by      int
	verdict sharedata.Verdict
	err     error
}

// observation is an observer with the snapshot at which it began.
type observation struct {
	node    int
	from    sharedata.Snapshot
	events  recorder
	stopped bool
	stop    func()
}

var workloadIDs = []string{"kept", "churned"}

func newWorkload(t *testing.T, seed uint64, losses losses) *workload {
	w := &workload{t: t, random: rand.New(rand.NewPCG(seed, 3)), losses: losses, shared: sharedstore.New(), all: make([]recorder, 3)}
	for i := range w.all {
		options := &sharedata.Options{RecentEntries: 8}
		process := w.shared.Process()
		if seed%2 == 1 { // faults come also while calls are under way
			options.Store = w.unreliable(withLatency(process, time.Millisecond, seed), seed)
		}
		if seed%3 == 2 { // what nobody observes is evicted all the time
			options.MaxLoadedBytes = 1
		}
		n := newNode(t, process, options)
		if seed%3 != 2 { // an observer of every ShareData misses what happens to one while it is evicted
			n.ObserveAll(&w.all[i])
		}
		w.nodes = append(w.nodes, n)
		for _, id := range workloadIDs {
			w.ensure(n, id)
		}
	}
	return w
}

// unreliable makes some loads fail while w.faulty is set.
func (w *workload) unreliable(s *proxy, seed uint64) *proxy {
	load, random := s.load, rand.New(rand.NewPCG(seed, 9))
	s.load = func(ctx context.Context, id string, have replay.Cursor) (replay.Head, error) {
		w.mu.Lock()
		fails := w.faulty && random.IntN(5) == 0
		w.mu.Unlock()
		if fails {
			return replay.Head{}, fmt.Errorf("%w: for a moment", replay.ErrUnavailable)
		}
		return load(ctx, id, have)
	}
	return s
}

func (w *workload) setFaulty(faulty bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.faulty = faulty
}

func (w *workload) ensure(n node, id string) {
	_, err := n.Ensure(context.Background(), id, Counter{}, add, broken)
	if err != nil && !errors.Is(err, replay.ErrUnavailable) && !errors.Is(err, sharedata.ErrUnknownShareData) {
		w.t.Errorf("ensure: %v", err)
	}
}

func (w *workload) run() {
	w.setFaulty(true)
	var wait sync.WaitGroup
	for worker := range 6 {
		random := rand.New(rand.NewPCG(w.random.Uint64(), 5))
		wait.Go(func() {
			for step := range 60 {
				w.step(worker%3, random, fmt.Sprint(worker, "/", step))
				time.Sleep(time.Duration(random.IntN(5)) * time.Millisecond)
			}
		})
	}
	for range 80 {
		time.Sleep(time.Duration(random(w.random, 1, 5)) * time.Millisecond)
		w.fault(w.nodes[w.random.IntN(3)].process)
	}
	wait.Wait()
}

func random(r *rand.Rand, from, to int) int { return from + r.IntN(to-from+1) }

func (w *workload) fault(p *sharedstore.Process) {
	switch choice := w.random.IntN(20); {
	case choice < 4:
		p.LoseAnnouncements(true)
	case choice < 7:
		p.LoseAnnouncements(false)
	case choice < 10:
		p.SetReachable(false)
	case choice < 14:
		p.SetReachable(true)
	case choice < 16:
		p.LoseReplies(random(w.random, 1, 3))
	case choice < 18:
		p.Check()
	case choice < 19 && w.losses.rollback:
		id := workloadIDs[w.random.IntN(2)]
		if head, err := w.shared.Process().Load(context.Background(), id, replay.Cursor{}); err == nil {
			back := min(head.Cursor.Revision, uint64(random(w.random, 1, 6)))
			w.shared.Rollback(id, replay.Cursor{Epoch: head.Cursor.Epoch, Revision: head.Cursor.Revision - back})
		}
	case choice < 20 && w.losses.flush:
		w.shared.Flush()
	}
}

func (w *workload) step(i int, r *rand.Rand, key string) {
	n, id := w.nodes[i], workloadIDs[r.IntN(2)]
	ctx := context.Background()
	switch choice := r.IntN(20); {
	case choice < 7:
		w.propose(n, proposed{id: id, key: key, by: random(r, -2, 5)}, r)
	case choice < 10:
		w.propose(n, proposed{id: id, by: random(r, -2, 5)}, r)
	case choice < 11:
		_, err := n.Propose(ctx, sharedata.Proposal{ShareDataID: id, FunctionID: "broken", IdempotencyKey: "broken " + key})
		if !errors.Is(err, sharedata.ErrUnknownFunction) { // those of Create end with a removal
			w.allow(err, errBroken)
		}
	case choice < 12:
		_, err := n.Update(ctx, id, Counter{r.IntN(10)})
		w.allow(err, nil)
	case choice < 13 && id == "churned":
		w.allow(n.Remove(ctx, id), nil)
	case choice < 15:
		w.ensure(n, id)
	case choice < 16:
		_, err := n.Get(ctx, id)
		w.allow(err, nil)
	case choice < 17:
		_, err := n.Refresh(ctx, id)
		w.allow(err, nil)
	case choice < 18:
		for _, err := range n.History(ctx, id, replay.Cursor{}) {
			w.allow(err, nil)
		}
	case choice < 19:
		w.observe(i, id)
	default:
		w.mu.Lock()
		defer w.mu.Unlock()
		if len(w.observations) > 0 {
			one := w.observations[r.IntN(len(w.observations))]
			one.stop()
			one.stopped = true
		}
	}
}

// allow checks that an error is explained by the faults, or is also.
func (w *workload) allow(err, also error) {
	var cursor *replay.CursorError
	if err == nil || also != nil && errors.Is(err, also) || errors.As(err, &cursor) ||
		errors.Is(err, replay.ErrUnavailable) || errors.Is(err, sharedata.ErrUnknownShareData) || errors.Is(err, sharedata.ErrBusy) {
		return
	}
	w.t.Errorf("an error that no fault explains: %v", err)
}

// propose proposes, and repeats a proposal with a key, at any process, until it has a
// verdict.
func (w *workload) propose(n node, p proposed, r *rand.Rand) {
	for attempt := range 40 {
		v, err := n.Propose(context.Background(), addition(p.id, p.by, p.key))
		p.err = err
		if err == nil {
			if attempt == 0 && v.Duplicate {
				w.t.Errorf("the first proposal with the key %q got a repeated verdict", p.key)
			}
			p.verdict = v
			break
		}
		w.allow(err, sharedata.ErrUnknownFunction)
		if p.key == "" || !errors.Is(err, sharedata.ErrStore) {
			break
		}
		time.Sleep(time.Millisecond)
		n = w.nodes[r.IntN(3)]
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.proposed = append(w.proposed, p)
}

func (w *workload) observe(i int, id string) {
	one := &observation{node: i}
	from, stop, err := w.nodes[i].Observe(context.Background(), id, &one.events)
	w.allow(err, nil)
	if err != nil {
		return
	}
	one.from, one.stop = from, stop
	w.mu.Lock()
	defer w.mu.Unlock()
	w.observations = append(w.observations, one)
}

// quiesce ends all faults, and has every process learn what the store holds.
func (w *workload) quiesce() {
	w.setFaulty(false)
	for _, n := range w.nodes {
		n.process.SetReachable(true)
		n.process.LoseAnnouncements(false)
		n.process.LoseReplies(0)
	}
	for range 3 { // because a restart of one process is announced to the others
		for _, n := range w.nodes {
			n.process.Check()
			w.waitIdle()
		}
	}
	if !w.losses.any() {
		return
	}
	for _, n := range w.nodes {
		for _, id := range workloadIDs {
			_, err := n.Refresh(w.t.Context(), id)
			w.allow(err, nil)
			w.waitIdle()
		}
	}
}

// waitIdle waits until nothing is under way.
func (w *workload) waitIdle() {
	time.Sleep(time.Minute)
	synctest.Wait()
}
