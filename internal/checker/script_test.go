package checker_test

import (
	"crypto/sha256"
	"encoding/json"
	"slices"
	"testing"

	"go.uber.org/goleak"

	"github.com/safe-go/safe/client"
	"github.com/safe-go/safe/internal/checker"
	"github.com/safe-go/safe/internal/wire"
	"github.com/safe-go/safe/replay"
	"github.com/safe-go/safe/schemas/codes"
	"github.com/safe-go/safe/sharedata"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// script is a sequence of steps to be recorded. Faults are injected into it.
type script []step

type step struct {
	kind stepKind
	// log is the subscription, for the kinds up to reportsGap.
	log     logKey
	since   string             // subscribes
	asks    wire.Subscribe     // subscribes: what for
	code    int                // disconnects
	frame   wire.ServerMessage // receives
	resumed bool               // receives a state, of a client
	ahead   bool               // receives: the state came before the replayed frames

	op        int // proposes, administers, hasResult
	operation checker.OperationKind
	proposal  checker.Proposal
	answer    checker.Answer

	id       string            // removes
	epoch    uint64            // removes: that which ends
	entries  []sharedata.Entry // readsHistory
	events   []sharedata.Event // commits
	snapshot sharedata.Snapshot
}

type logKey struct {
	name, id string
	client   bool
}

type stepKind int

const (
	subscribes stepKind = iota
	receives
	unsubscribes
	disconnects
	reportsGap
	proposes
	administers
	hasResult
	removes
	commits
	readsHistory
	readsFinal
)

// record records the script.
func (s script) record() *checker.Recorder {
	rec := checker.NewRecorder()
	subscribers := make(map[logKey]*checker.Subscriber)
	clients := make(map[logKey]*checker.Client)
	pending := make(map[int]*checker.Pending)
	for i := range s {
		st := &s[i]
		if st.kind <= reportsGap && st.log.client {
			if clients[st.log] == nil {
				clients[st.log] = rec.Client(st.log.name, st.log.id)
			}
			st.recordClient(clients[st.log])
			continue
		}
		if st.kind <= reportsGap {
			if subscribers[st.log] == nil {
				subscribers[st.log] = rec.Subscriber(st.log.name, st.log.id)
			}
			st.recordSubscriber(subscribers[st.log])
			continue
		}
		switch st.kind {
		case proposes:
			pending[st.op] = rec.Proposed(st.proposal)
		case administers:
			if st.operation == checker.OperationUpdate {
				pending[st.op] = rec.Updating(st.proposal)
			} else {
				pending[st.op] = rec.Creating(st.proposal)
			}
		case hasResult:
			pending[st.op].Answered(st.answer)
		case removes:
			rec.Removing(st.id)(st.epoch)
		case commits:
			rec.Observe(st.events)
		case readsHistory:
			rec.History(st.entries)
		case readsFinal:
			rec.Final(st.snapshot)
		}
	}
	return rec
}

func (st *step) recordSubscriber(s *checker.Subscriber) {
	switch st.kind {
	case subscribes:
		asks := st.asks
		asks.Since = st.since
		s.SubscribedWith(&asks)
	case receives:
		s.Frame(st.frame)
	case unsubscribes:
		s.Unsubscribed()
	case disconnects:
		s.Disconnected(st.code)
	}
}

func (st *step) recordClient(u *checker.Client) {
	switch st.kind {
	case subscribes:
		u.SubscribedWith(client.SubscribeOptions{Cursor: st.since, Conflate: st.asks.Conflate})
	case receives:
		if snapshot, ok := st.frame.(*wire.State); ok {
			u.State(snapshot, st.resumed)
		} else {
			u.Frame(st.frame)
		}
	case unsubscribes:
		u.Closed()
	case reportsGap:
		u.Gap()
	}
}

// clone copies what faults change.
func (s script) clone() script {
	s = slices.Clone(s)
	for i := range s {
		switch f := s[i].frame.(type) {
		case *wire.State:
			c := *f
			s[i].frame = &c
		case *wire.Transaction:
			c := *f
			s[i].frame = &c
		case *wire.Lifecycle:
			c := *f
			s[i].frame = &c
		}
		s[i].entries = slices.Clone(s[i].entries)
		s[i].events = slices.Clone(s[i].events)
	}
	return s
}

// place returns the position of a frame; zero for frames of no entry.
func (st *step) place() (at replay.Cursor, replayed bool) {
	text := ""
	switch f := st.frame.(type) {
	case *wire.Transaction:
		text, replayed = f.TransactionID, f.Replayed
	case *wire.Lifecycle:
		text, replayed = f.Cursor, f.Replayed
	case *wire.State:
		text = f.Cursor
	}
	if text != "" {
		at, _ = replay.ParseCursor(text)
	}
	return at, replayed
}

// segment has the steps that follow one state, by their indices in the script.
type segment struct {
	log   logKey
	since string // the subscribe's
	asked int    // the subscribe; -1 for none
	state int
	// notFound is the "cursor not found", or the gap; -1 for neither.
	notFound int
	// replayed and live are frames of entries; removed is the live one that is a
	// removal, -1 for none.
	replayed, live []int
	removed        int
	// skips are states with skipped.
	skips []int
	// patches says that its subscriber asks for patches or to skip entries at times.
	patches bool
	// last says that no other segment of the log follows, gone that the connection
	// or the subscription ended.
	last, gone bool
	// fresh says that no frames from before the subscribe can follow it.
	fresh bool
	// alone says that the state can answer that subscribe only.
	alone bool
}

// segments returns the segments of a script.
func (s script) segments() []*segment {
	var segments []*segment
	current := make(map[logKey]*segment)
	asked := make(map[logKey][]int)
	gap := make(map[logKey]int)
	lost := make(map[logKey]bool)
	doubt := make(map[logKey]bool)
	for i := range s {
		st := &s[i]
		p := current[st.log]
		switch st.kind {
		case subscribes:
			asked[st.log] = append(asked[st.log], i)
			if p == nil {
				lost[st.log] = true
			}
		case disconnects, unsubscribes:
			if p != nil {
				p.gone = true
			}
			if st.kind == unsubscribes && len(asked[st.log]) > 0 {
				doubt[st.log] = true
			}
			if st.kind == disconnects {
				asked[st.log] = nil
				doubt[st.log] = false
				delete(current, st.log)
			}
		case reportsGap:
			gap[st.log] = i
			if p != nil {
				p.gone = true
			}
		case receives:
			switch f := st.frame.(type) {
			case *wire.State:
				if f.Skipped > 0 {
					p.skips = append(p.skips, i)
					break
				}
				if p != nil {
					p.last = false
				}
				p = &segment{log: st.log, patches: st.log.id == "list", state: i, notFound: -1, removed: -1, asked: -1, last: true, fresh: lost[st.log]}
				lost[st.log] = false
				if a := asked[st.log]; len(a) > 0 {
					p.asked, p.since = a[0], s[a[0]].since
					asked[st.log] = a[1:]
					p.alone = !doubt[st.log]
					doubt[st.log] = doubt[st.log] && len(a) > 1
				}
				if t, ok := gap[st.log]; ok {
					p.notFound = t
					delete(gap, st.log)
				}
				current[st.log] = p
				segments = append(segments, p)
			case *wire.Error:
				if f.Code == codes.ReplayCursorNotFound {
					p.notFound = i
				} else {
					asked[st.log] = asked[st.log][1:]
				}
			default:
				if _, replayed := st.place(); replayed {
					p.replayed = append(p.replayed, i)
				} else {
					p.live = append(p.live, i)
				}
				if l, ok := f.(*wire.Lifecycle); ok && l.Event == wire.EventRemoved {
					p.removed = i
				}
			}
		}
	}
	return segments
}

// seal chains an entry to the one before it, by the rule that the
// documentation of sharedata.Entry gives.
func seal(e sharedata.Entry, previous sharedata.Hash) sharedata.Entry {
	e.Previous, e.Hash = previous, sharedata.Hash{}
	record, err := e.MarshalJSON() // json.Marshal would compact the proposed data
	if err != nil {
		panic(err)
	}
	record = record[:len(record)-len(`,"hash":""}`)-2*len(e.Hash)]
	e.Hash = sha256.Sum256(record)
	return e
}

// reseal repairs the chain after its entries from the index on were changed.
func reseal(entries []sharedata.Entry, from int) {
	for i := from; i < len(entries); i++ {
		previous := entries[i].Previous
		if i > 0 {
			previous = entries[i-1].Hash
		}
		entries[i] = seal(entries[i], previous)
	}
}

func hashOf(state json.RawMessage) sharedata.Hash { return sha256.Sum256(state) }
