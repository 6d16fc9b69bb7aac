package client

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/safe-go/safe/internal/wire"
	"github.com/safe-go/safe/schemas/codes"
)

// world is a model of a server: histories, subscribers and a replay window. It
// speaks as a server of this project does, or as the published one.
type world struct {
	published bool
	window    int

	mu        sync.Mutex
	random    *rand.Rand
	histories map[string]*history
	peers     map[*peer]map[string]bool // who is subscribed to what
	late      map[*peer][]func()        // what a published server sends a moment later
	lost      map[string]int            // how often a cursor was not found
	pauses    int                       // how often a client unsubscribed
	repeats   int                       // how often a proposal came again
	epochs    int
}

// history is what happened to one ShareData.
type history struct {
	epoch   int
	entries []record
	verdict map[string]string // idempotency key -> transaction id
}

type record struct {
	updated  bool
	accepted bool
	state    json.RawMessage
	data     string
}

func (h *history) cursor(revision int) string { return fmt.Sprintf("%d-%d", h.epoch, revision) }

// last is the id of the newest transaction, or empty.
func (h *history) last() string {
	for i := len(h.entries); i > 0; i-- {
		if !h.entries[i-1].updated {
			return h.cursor(i)
		}
	}
	return ""
}

func newWorld(seed uint64, published bool) *world {
	w := &world{
		published: published,
		window:    30,
		random:    rand.New(rand.NewPCG(seed, 1)),
		histories: make(map[string]*history),
		peers:     make(map[*peer]map[string]bool),
		late:      make(map[*peer][]func()),
		lost:      make(map[string]int),
	}
	for _, id := range []string{"x", "y", "z"} {
		w.startOverLocked(id)
	}
	return w
}

// startOverLocked begins the history of a ShareData, maybe not for the first
// time.
func (w *world) startOverLocked(id string) {
	w.epochs++
	h := &history{epoch: w.epochs, verdict: make(map[string]string)}
	w.histories[id] = h
	h.entries = append(h.entries, record{updated: true, accepted: true, state: json.RawMessage("0")}) // created
	for range w.random.IntN(3) {
		w.appendLocked(id, record{accepted: true, data: "before"})
	}
}

// appendLocked commits an entry and tells the subscribers.
func (w *world) appendLocked(id string, r record) string {
	h := w.histories[id]
	r.state = json.RawMessage(fmt.Sprint(len(h.entries) + 1))
	h.entries = append(h.entries, r)
	revision := len(h.entries)
	frame := w.frame(id, h, revision, false)
	for p, subscribed := range w.peers {
		if subscribed[id] {
			p.send(frame)
		}
	}
	return h.cursor(revision)
}

// frame is an entry on the wire.
func (w *world) frame(id string, h *history, revision int, replayed bool) wire.ServerMessage {
	r := h.entries[revision-1]
	state, number, cursor := r.state, uint64(revision), h.cursor(revision)
	if replayed {
		state = nil
	}
	if w.published {
		number = 0
	}
	if r.updated {
		if w.published {
			cursor = ""
		}
		return &wire.Lifecycle{ShareDataID: id, Event: wire.EventUpdated, CurrentState: state, Replayed: replayed, Cursor: cursor, Revision: number}
	}
	return &wire.Transaction{ShareDataID: id, TransactionID: cursor, Accepted: r.accepted, CurrentState: state, Replayed: replayed, Revision: number}
}

// serve speaks with one client.
func (w *world) serve(p *peer) {
	w.mu.Lock()
	w.peers[p] = make(map[string]bool)
	if w.random.IntN(3) == 0 {
		p.cutAfter(1 + w.random.IntN(30))
	}
	w.mu.Unlock()
	defer func() {
		w.mu.Lock()
		delete(w.peers, p)
		delete(w.late, p)
		w.mu.Unlock()
	}()
	for {
		select {
		case frame, ok := <-p.frames:
			if !ok {
				return
			}
			w.mu.Lock()
			w.flushLocked(p)
			w.takeLocked(p, frame)
			w.mu.Unlock()
		case <-p.ctx.Done():
			return
		}
	}
}

func (w *world) flushLocked(p *peer) {
	for _, send := range w.late[p] {
		send()
	}
	delete(w.late, p)
}

func (w *world) takeLocked(p *peer, frame wire.ClientMessage) {
	switch frame := frame.(type) {
	case *wire.Subscribe:
		w.subscribeLocked(p, frame.ShareDataID, frame.Since)
	case *wire.Unsubscribe:
		delete(w.peers[p], frame.ShareDataID)
		w.pauses++
	case *wire.Ping:
		p.send(&wire.Pong{CorrelationID: frame.CorrelationID})
	case *wire.Propose:
		h := w.histories[frame.ShareDataID]
		id, duplicate := h.verdict[frame.IdempotencyKey]
		if !duplicate {
			id = w.appendLocked(frame.ShareDataID, record{accepted: true, data: string(frame.ProposedData)})
			if !w.published {
				h.verdict[frame.IdempotencyKey] = id
			}
		}
		if duplicate {
			w.repeats++
		}
		p.send(&wire.ProposalResult{CorrelationID: frame.CorrelationID, Accepted: true, TransactionID: id, Duplicate: duplicate})
	}
}

// find returns the revision of a cursor inside the window.
func (w *world) find(h *history, cursor string) (revision int, ok bool) {
	var epoch int
	if _, err := fmt.Sscanf(cursor, "%d-%d", &epoch, &revision); err != nil {
		panic(err)
	}
	return revision, epoch == h.epoch && revision <= len(h.entries) && revision >= len(h.entries)-w.window
}

func (w *world) subscribeLocked(p *peer, id, since string) {
	h := w.histories[id]
	w.peers[p][id] = true
	head := len(h.entries)
	state := &wire.State{ShareDataID: id, CurrentState: h.entries[head-1].state, LastTransactionID: h.last()}
	revision, found := head, since == ""
	if since != "" {
		revision, found = w.find(h, since)
	}
	if !found {
		w.lost[id]++
		revision = head
	}
	if !w.published {
		state.Cursor, state.Revision = h.cursor(head), uint64(head)
		state.HasReplaying, state.Replaying = true, uint64(head-revision)
		p.send(state)
		if !found {
			p.send(&wire.Error{Code: codes.ReplayCursorNotFound, Message: "lost", ShareDataID: id})
		}
		for r := revision + 1; r <= head; r++ {
			p.send(w.frame(id, h, r, true))
		}
		return
	}
	p.send(state)
	slow := w.random.IntN(2) == 0 // the store is read after more has happened
	w.late[p] = append(w.late[p], func() {
		if !found {
			p.send(&wire.Error{Code: codes.ReplayCursorNotFound, Message: "since=" + since + " not present in retained replay window"})
			return
		}
		to := head
		if slow {
			to = len(h.entries)
		}
		for r := revision + 1; since != "" && r <= to; r++ {
			if !h.entries[r-1].updated {
				p.send(w.frame(id, h, r, true))
			}
		}
	})
}

// step lets something happen.
func (w *world) step(f *fake) {
	w.mu.Lock()
	defer w.mu.Unlock()
	ids := []string{"x", "y", "z"}
	id := ids[w.random.IntN(len(ids))]
	var some *peer
	for p := range w.peers {
		some = p
		break
	}
	for p := range w.late {
		if w.random.IntN(2) == 0 {
			w.flushLocked(p)
		}
	}
	switch n := w.random.IntN(100); {
	case n < 70:
		w.appendLocked(id, record{accepted: n%7 != 0, data: "other"})
	case n < 75:
		w.appendLocked(id, record{updated: true, accepted: true})
	case n < 77: // a process without a durable store restarted
		for p := range w.peers {
			p.cutAfter(1)
			p.ws.CloseNow()
			delete(w.peers, p)
		}
		w.startOverLocked(id)
	case n < 79:
		f.set(func(f *fake) { f.down = !f.down })
	case some == nil:
	case n < 88:
		some.ws.CloseNow()
	case n < 93:
		some.cutAfter(1 + w.random.IntN(10))
	case n < 95:
		some.close(4001, "fell behind")
	case n < 97:
		some.close(1001, "going away")
	case n < 98:
		for range 20 {
			w.appendLocked(id, record{accepted: true, data: "burst"})
		}
	default: // removed, and created again
		for p, subscribed := range w.peers {
			w.flushLocked(p)
			if subscribed[id] {
				p.send(&wire.Lifecycle{ShareDataID: id, Event: wire.EventRemoved})
				delete(subscribed, id)
			}
		}
		w.startOverLocked(id)
	}
}

// judge follows what a user is told about one ShareData.
type judge struct {
	w  *world
	id string

	mu    sync.Mutex
	at    string // the position that the user knows
	known bool
	owed  string // the position that a resumed State has promised
	gaps  int
	fault error
	log   []string
}

func (j *judge) failf(format string, args ...any) {
	if j.fault == nil {
		j.fault = fmt.Errorf(j.id+": "+format, args...)
	}
}

// place splits a cursor.
func place(cursor string) (epoch, revision int) {
	fmt.Sscanf(cursor, "%d-%d", &epoch, &revision)
	return epoch, revision
}

func (j *judge) take(event Event, cursor string) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.log = append(j.log, describe(event)+" @ "+cursor)
	switch e := event.(type) {
	case *State:
		switch {
		case e.Resumed && !j.known:
			j.failf("resumed from nothing")
		case !e.Resumed && j.known:
			j.failf("a snapshot without a gap at %s", j.at)
		}
		epoch, revision := place(j.at)
		newEpoch, newRevision := place(e.Cursor)
		switch {
		case e.Resumed && j.at != "" && (newEpoch != epoch || newRevision < revision):
			j.failf("resumed from %s at %s", j.at, e.Cursor)
		case !e.Resumed:
			j.at = e.Cursor
		}
		j.known, j.owed = true, e.Cursor
	case *Gap:
		if e.Cursor != j.at {
			j.failf("gap after %q, but the user is at %q", e.Cursor, j.at)
		}
		j.gaps++
		j.at, j.known, j.owed = "", false, ""
	case *Transaction:
		j.advance(e.TransactionID, e.Replayed)
	case *Lifecycle:
		switch {
		case e.Removed:
			j.at, j.known, j.owed = "", false, ""
		case e.Cursor != "":
			j.advance(e.Cursor, e.Replayed)
		}
	}
	if j.at != cursor && !j.w.published {
		j.failf("Cursor says %q, but the user is at %q", cursor, j.at)
	}
}

// advance takes the user to the cursor, which must be next.
func (j *judge) advance(cursor string, replayed bool) {
	epoch, revision := place(j.at)
	newEpoch, newRevision := place(cursor)
	if !replayed && j.behind() {
		j.failf("a live %s, though %s was promised and %s reached", cursor, j.owed, j.at)
	}
	if j.at != "" && newEpoch != epoch {
		j.failf("%s after %s", cursor, j.at)
	}
	for revision++; revision < newRevision; revision++ {
		if j.w.published && j.isUpdate(newEpoch, revision) {
			continue // has no cursor there
		}
		if j.at != "" {
			j.failf("%s after %s", cursor, j.at)
		}
	}
	if newRevision < revision {
		j.failf("%s after %s: twice or out of order", cursor, j.at)
	}
	j.at = cursor
}

// behind reports whether replayed events are missing.
func (j *judge) behind() bool {
	if j.owed == "" || j.at == "" {
		return false
	}
	_, owed := place(j.owed)
	_, at := place(j.at)
	return at < owed
}

func (j *judge) isUpdate(epoch, revision int) bool {
	j.w.mu.Lock()
	defer j.w.mu.Unlock()
	h := j.w.histories[j.id]
	return h.epoch != epoch || h.entries[revision-1].updated
}

// settled reports whether the user knows everything.
func (j *judge) settled() bool {
	j.w.mu.Lock()
	h := j.w.histories[j.id]
	want := h.cursor(len(h.entries))
	if j.w.published {
		want = h.last()
	}
	j.w.mu.Unlock()
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.known && j.at == want
}

// Whatever breaks, the user's events are gapless, in order and once, or the
// user is told of a gap; and every proposal takes effect once.
func TestRandomFaultsAreAlwaysTold(t *testing.T) {
	for _, published := range []bool{false, true} {
		seen := make(map[string]int)
		for seed := range uint64(15) {
			t.Run(fmt.Sprintf("published=%v/seed=%d", published, seed), func(t *testing.T) {
				bubble(t, func(t *testing.T, f *fake) { randomFaults(t, f, seed, published, seen) })
			})
		}
		t.Logf("published=%v: seen %v", published, seen)
		for _, what := range []string{"resumed", "replayed", "gap", "removed", "connections", "pauses", "repeats"} {
			if seen[what] < 5 && !(published && what == "repeats") {
				t.Errorf("published=%v: the faults led to %d %s: too few to mean anything", published, seen[what], what)
			}
		}
	}
}

func randomFaults(t *testing.T, f *fake, seed uint64, published bool, seen map[string]int) {
	w := newWorld(seed, published)
	f.set(func(f *fake) { f.serve = w.serve })
	c := f.start(&Options{EventBuffer: 8, Backoff: Backoff{Max: 2 * time.Second}, RequestTimeout: -1})

	ctx, cancel := context.WithCancel(context.Background())
	var users sync.WaitGroup
	var judges []*judge
	for i, id := range []string{"x", "y", "z"} {
		j := &judge{w: w, id: id}
		judges = append(judges, j)
		users.Go(func() { consume(ctx, c, j, rand.New(rand.NewPCG(seed, uint64(i)+10))) })
	}
	results := make(map[string]string) // data -> transaction id
	var mu sync.Mutex
	for i, id := range []string{"x", "y"} {
		users.Go(func() {
			for n := range 20 {
				data := fmt.Sprint(1000*i + n)
				result, err := c.Propose(ctx, id, "set", json.RawMessage(data))
				if err != nil {
					t.Errorf("propose: %v", err)
					return
				}
				mu.Lock()
				results[data] = result.TransactionID
				mu.Unlock()
				time.Sleep(40 * time.Millisecond)
			}
		})
	}

	pace := rand.New(rand.NewPCG(seed, 2))
	for range 800 {
		w.step(f)
		time.Sleep(time.Duration(pace.IntN(60)) * time.Millisecond)
	}
	f.set(func(f *fake) { f.down = false })

	deadline := time.Now().Add(10 * time.Minute)
	for settled := false; !settled; {
		time.Sleep(time.Second)
		settled = true
		w.mu.Lock()
		for p := range w.peers {
			w.flushLocked(p)
		}
		w.mu.Unlock()
		mu.Lock()
		settled = len(results) == 40
		mu.Unlock()
		for _, j := range judges {
			settled = settled && j.settled()
		}
		if time.Now().After(deadline) {
			t.Error("does not settle")
			break
		}
	}
	cancel()
	c.Close()
	users.Wait()
	seen["connections"] += len(f.attempts())
	seen["pauses"] += w.pauses
	seen["repeats"] += w.repeats
	for _, j := range judges {
		for _, line := range j.log {
			for _, word := range []string{"resumed", "replayed", "gap", "removed"} {
				seen[word] += strings.Count(line, word)
			}
		}
		if !published && j.gaps > w.lost[j.id] {
			j.failf("%d gaps, though only %d cursors were lost", j.gaps, w.lost[j.id])
		}
		if j.fault != nil {
			t.Error(j.fault)
		}
		if t.Failed() {
			t.Logf("%s, known %v, at %s: last of %d events: %q", j.id, j.known, j.at, len(j.log), j.log[max(0, len(j.log)-40):])
		}
	}
	if published {
		return // it knows no idempotency keys
	}
	for id, h := range w.histories {
		times := make(map[string]int)
		for _, r := range h.entries {
			times[r.data]++
		}
		for data := range results {
			if times[data] > 1 {
				t.Errorf("%s: %s took effect %d times", id, data, times[data])
			}
		}
	}
}

// consume follows one ShareData for ever, now fast, now slowly, and sometimes
// leaves the loop.
func consume(ctx context.Context, c *Client, j *judge, random *rand.Rand) {
	s := c.Subscribe(j.id)
	for ctx.Err() == nil {
		left := false
		for event, err := range s.Events(ctx) {
			if err != nil {
				if !errors.Is(err, context.Canceled) && !errors.Is(err, ErrClosed) {
					j.mu.Lock()
					j.failf("%v", err)
					j.mu.Unlock()
				}
				return
			}
			j.take(event, s.Cursor())
			if random.IntN(10) == 0 {
				time.Sleep(time.Duration(random.IntN(300)) * time.Millisecond)
			}
			if left = random.IntN(20) == 0; left {
				break
			}
		}
		if !left { // removed
			s = c.Subscribe(j.id)
		}
	}
}
