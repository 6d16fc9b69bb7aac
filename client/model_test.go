package client

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"sync"

	"github.com/safe-go/safe/internal/wire"
	"github.com/safe-go/safe/schemas/codes"
)

// modelServer is a model of a server: histories, subscribers and a replay window.
// It behaves as a server of this project, or as the published one.
type modelServer struct {
	published bool
	window    int

	mu        sync.Mutex
	random    *rand.Rand
	histories map[string]*modelHistory
	peers     map[*peer]map[string]bool // who is subscribed to what
	late      map[*peer][]func()        // what a published server sends later
	lost      map[string]int            // how often a cursor was not found
	pauses    int                       // how often a client unsubscribed
	repeats   int                       // how often a proposal was received again
	refused   int                       // how many proposals got no verdict
	applied   map[string]int            // how often each proposal took effect
	epochs    int
}

// modelHistory is the history of one ShareData.
type modelHistory struct {
	epoch   int
	entries []modelEntry
	verdict map[string]string // idempotency key -> transaction id
}

type modelEntry struct {
	updated  bool
	accepted bool
	state    json.RawMessage
	data     string
}

func (h *modelHistory) cursor(revision int) string { return fmt.Sprintf("%d-%d", h.epoch, revision) }

// last is the id of the newest transaction, or empty.
func (h *modelHistory) last() string {
	for i := len(h.entries); i > 0; i-- {
		if !h.entries[i-1].updated {
			return h.cursor(i)
		}
	}
	return ""
}

func newModelServer(seed uint64, published bool) *modelServer {
	w := &modelServer{
		published: published,
		window:    30,
		random:    rand.New(rand.NewPCG(seed, 1)),
		histories: make(map[string]*modelHistory),
		peers:     make(map[*peer]map[string]bool),
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
	w.histories[id] = h
	h.entries = append(h.entries, modelEntry{updated: true, accepted: true, state: json.RawMessage("0")}) // created
	for range w.random.IntN(3) {
		w.appendLocked(id, modelEntry{accepted: true, data: "before"})
	}
}

// appendLocked commits an entry and notifies the subscribers.
func (w *modelServer) appendLocked(id string, r modelEntry) string {
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
func (w *modelServer) frame(id string, h *modelHistory, revision int, replayed bool) wire.ServerMessage {
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

// serve serves one connection.
func (w *modelServer) serve(p *peer) {
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
		w.subscribeLocked(p, frame.ShareDataID, frame.Since)
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

func (w *modelServer) subscribeLocked(p *peer, id, since string) {
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
			if subscribed[id] {
				p.send(&wire.Lifecycle{ShareDataID: id, Event: wire.EventRemoved})
				delete(subscribed, id)
			}
		}
		w.recreateLocked(id)
	}
}
