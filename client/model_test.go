package client

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"

	"github.com/safe-go/safe/internal/wire"
	"github.com/safe-go/safe/schemas/codes"
)

// modelServer is a model of a server: histories, subscribers and a replay window.
// It behaves as a server of this project, with patches or without, or as the published
// one.
type modelServer struct {
	published bool
	patches   bool
	window    int

	mu        sync.Mutex
	random    *rand.Rand
	histories map[string]*modelHistory
	archive   map[int]*modelHistory // all histories, by epoch
	peers     map[*peer]map[string]*modelSubscription
	late      map[*peer][]func() // what a published server sends later
	lost      map[string]int     // how often a cursor was not found
	pauses    int                // how often a client unsubscribed
	repeats   int                // how often a proposal was received again
	refused   int                // how many proposals got no verdict
	applied   map[string]int     // how often each proposal took effect
	planted   map[string]int     // how often a wrong patch or hash was sent
	skips     int                // how often entries were skipped
	epochs    int
}

// modelSubscription is one peer's subscription to a ShareData.
type modelSubscription struct {
	patches, conflate bool
	sent              int  // the last revision
	held              bool // entries are skipped for now
}

func newModelServer(seed uint64, published bool) *modelServer {
	w := &modelServer{
		published: published,
		window:    30,
		random:    rand.New(rand.NewPCG(seed, 1)),
		histories: make(map[string]*modelHistory),
		archive:   make(map[int]*modelHistory),
		planted:   make(map[string]int),
		peers:     make(map[*peer]map[string]*modelSubscription),
		late:      make(map[*peer][]func()),
		lost:      make(map[string]int),
		applied:   make(map[string]int),
	}
	for _, id := range []string{"x", "y", "z"} {
		w.recreateLocked(id)
	}
	return w
}

// recreateLocked begins the history of a ShareData, maybe again.
func (w *modelServer) recreateLocked(id string) {
	w.epochs++
	h := &modelHistory{epoch: w.epochs, verdict: make(map[string]string)}
	w.histories[id], w.archive[h.epoch] = h, h
	h.entries = append(h.entries, modelEntry{updated: true, accepted: true, state: json.RawMessage(`{"log":[],"n":1}`)}) // created
	for range w.random.IntN(3) {
		w.appendLocked(id, modelEntry{accepted: true, data: "before"})
	}
}

// serve serves one connection.
func (w *modelServer) serve(p *peer) {
	w.mu.Lock()
	w.peers[p] = make(map[string]*modelSubscription)
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
			w.dispatchLocked(p, frame)
			w.mu.Unlock()
		case <-p.ctx.Done():
			return
		}
	}
}

func (w *modelServer) flushLocked(p *peer) {
	for _, send := range w.late[p] {
		send()
	}
	delete(w.late, p)
}

func (w *modelServer) dispatchLocked(p *peer, frame wire.ClientMessage) {
	switch frame := frame.(type) {
	case *wire.Subscribe:
		w.subscribeLocked(p, frame)
	case *wire.Unsubscribe:
		delete(w.peers[p], frame.ShareDataID)
		w.pauses++
	case *wire.Ping:
		p.send(&wire.Pong{CorrelationID: frame.CorrelationID})
	case *wire.Propose:
		w.proposeLocked(p, frame)
	}
}

// proposeLocked replies to a proposal with a verdict, or fails before or after the
// commit as a server may.
func (w *modelServer) proposeLocked(p *peer, frame *wire.Propose) {
	reply := &wire.ProposalResult{CorrelationID: frame.CorrelationID, Error: "failed"}
	fault := w.random.IntN(20)
	switch fault {
	case 0:
		reply.Code = codes.Busy
	case 1:
		reply.Code = codes.Unavailable
	case 2:
		reply.Code = codes.ShuttingDown
	case 3, 4:
		reply.Code = codes.OutcomeUnknown
	case 5:
		reply.Code = codes.FunctionFailed
	}
	if fault == 5 || fault <= 3 && !w.published {
		w.refused++
		if w.published {
			reply.Code = ""
		}
		p.send(reply)
		return
	}
	h := w.histories[frame.ShareDataID]
	id, duplicate := h.verdict[frame.IdempotencyKey]
	if duplicate {
		w.repeats++
	} else {
		id = w.appendLocked(frame.ShareDataID, modelEntry{accepted: true, data: string(frame.ProposedData)})
		w.applied[string(frame.ProposedData)]++
		if !w.published {
			h.verdict[frame.IdempotencyKey] = id
		}
	}
	switch {
	case fault == 4 && !w.published:
		w.refused++
		p.send(reply)
	case fault != 6: // No reply at all.
		p.send(&wire.ProposalResult{CorrelationID: frame.CorrelationID, Accepted: true, TransactionID: id, Duplicate: duplicate})
	}
}

// find returns the revision of a cursor inside the window.
func (w *modelServer) find(h *modelHistory, cursor string) (revision int, ok bool) {
	var epoch int
	if _, err := fmt.Sscanf(cursor, "%d-%d", &epoch, &revision); err != nil {
		panic(err)
	}
	return revision, epoch == h.epoch && revision <= len(h.entries) && revision >= len(h.entries)-w.window
}

func (w *modelServer) subscribeLocked(p *peer, subscribe *wire.Subscribe) {
	id, since := subscribe.ShareDataID, subscribe.Since
	h := w.histories[id]
	head := len(h.entries)
	s := &modelSubscription{patches: w.patches && subscribe.Patches, conflate: w.patches && subscribe.Conflate, sent: head}
	w.peers[p][id] = s
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
		replay := h.entries[revision:]
		unrecorded := slices.ContainsFunc(replay, func(r modelEntry) bool { return r.unrecorded })
		if s.patches {
			state.StateHash = hashOf(state.CurrentState)
			state.Resumed = since != "" && found
			if state.Resumed && !subscribe.IncludeState && !unrecorded {
				state.CurrentState = nil
			}
			if w.random.IntN(200) == 0 {
				w.planted[id]++
				state.StateHash = hashOf(h.entries[0].patch)
			}
		}
		p.send(state)
		if !found {
			p.send(&wire.Error{Code: codes.ReplayCursorNotFound, Message: "lost", ShareDataID: id})
		}
		for r := revision + 1; r <= head; r++ {
			p.send(w.frame(id, h, r, true, s.patches && !unrecorded))
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
				p.send(w.frame(id, h, r, true, false))
			}
		}
	})
}

// conflateLocked begins to skip entries, or ends that with a state.
func (w *modelServer) conflateLocked(p *peer, id string, s *modelSubscription) {
	h := w.histories[id]
	head := len(h.entries)
	if s.held = !s.held; s.held || s.sent >= head {
		return
	}
	w.skips++
	state := &wire.State{
		ShareDataID: id, CurrentState: h.entries[head-1].state, LastTransactionID: h.last(),
		Cursor: h.cursor(head), Revision: uint64(head), Skipped: uint64(head - s.sent),
	}
	if s.patches {
		state.StateHash = hashOf(state.CurrentState)
	}
	s.sent = head
	p.send(state)
}

// step lets something happen.
func (w *modelServer) step(f *fake) {
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
	for p, subscriptions := range w.peers {
		if s := subscriptions[id]; s != nil && s.conflate && w.random.IntN(2) == 0 {
			w.conflateLocked(p, id, s)
		}
	}
	switch n := w.random.IntN(100); {
	case n < 70:
		w.appendLocked(id, modelEntry{accepted: n%7 != 0, data: "other"})
	case n < 75:
		w.appendLocked(id, modelEntry{updated: true, accepted: true})
	case n < 77: // a process without a durable store restarted
		for p := range w.peers {
			p.cutAfter(1)
			p.ws.CloseNow()
			delete(w.peers, p)
		}
		w.recreateLocked(id)
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
			w.appendLocked(id, modelEntry{accepted: true, data: "burst"})
		}
	default: // removed, and created again
		for p, subscribed := range w.peers {
			w.flushLocked(p)
			if subscribed[id] != nil {
				p.send(&wire.Lifecycle{ShareDataID: id, Event: wire.EventRemoved})
				delete(subscribed, id)
			}
		}
		w.recreateLocked(id)
	}
}
