package checker_test

import (
	"slices"
	"testing"

	"go.uber.org/goleak"

	"github.com/safe-go/safe/internal/checker"
	"github.com/safe-go/safe/internal/wire"
	"github.com/safe-go/safe/replay"
	"github.com/safe-go/safe/schemas/codes"
	"github.com/safe-go/safe/sharedata"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// A script is a recording before it is recorded, so that a fault can be
// planted in it.
type script []step

type step struct {
	kind stepKind
	// log is who it happened to, for the kinds up to gapTold.
	log     logKey
	since   string             // asks
	code    int                // loses
	frame   wire.ServerMessage // gets
	resumed bool               // gets a state, as a user

	op        int // proposes, administers, hears
	operation checker.OperationKind
	proposal  checker.Proposal
	answer    checker.Answer

	id       string            // removing
	entries  []sharedata.Entry // reads
	events   []sharedata.Event // commits
	snapshot sharedata.Snapshot
}

type logKey struct {
	name, id string
	user     bool
}

type stepKind int

const (
	asks stepKind = iota
	gets
	leaves
	loses
	gapTold
	proposes
	administers
	hears
	removing
	commits
	reads
	finds
)

// play records a script.
func (s script) play() *checker.Recorder {
	rec := checker.NewRecorder()
	subscribers := make(map[logKey]*checker.Subscriber)
	users := make(map[logKey]*checker.Client)
	pending := make(map[int]*checker.Pending)
	for i := range s {
		st := &s[i]
		if st.kind <= gapTold && st.log.user {
			if users[st.log] == nil {
				users[st.log] = rec.Client(st.log.name, st.log.id)
			}
			st.tellUser(users[st.log])
			continue
		}
		if st.kind <= gapTold {
			if subscribers[st.log] == nil {
				subscribers[st.log] = rec.Subscriber(st.log.name, st.log.id)
			}
			st.tellSubscriber(subscribers[st.log])
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
		case hears:
			pending[st.op].Answered(st.answer)
		case removing:
			rec.Removing(st.id)
		case commits:
			rec.Observe(st.events)
		case reads:
			rec.History(st.entries)
		case finds:
			rec.Final(st.snapshot)
		}
	}
	return rec
}

func (st *step) tellSubscriber(s *checker.Subscriber) {
	switch st.kind {
	case asks:
		s.Subscribed(st.since)
	case gets:
		s.Frame(st.frame)
	case leaves:
		s.Unsubscribed()
	case loses:
		s.Disconnected(st.code)
	}
}

func (st *step) tellUser(u *checker.Client) {
	switch st.kind {
	case asks:
		u.Subscribed(st.since)
	case gets:
		if snapshot, ok := st.frame.(*wire.State); ok {
			u.State(snapshot, st.resumed)
		} else {
			u.Frame(st.frame)
		}
	case leaves:
		u.Closed()
	case gapTold:
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

// place is where a frame belongs; zero for frames that are of no entry.
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

// part is one run of frames of a script, by the indices of its steps.
type part struct {
	log   logKey
	since string // the subscribe's
	asked int    // the index of the subscribe; -1 for none
	state int
	told  int // the cursor was not found, or the gap; -1 for neither
	// replayed and live are frames of entries; removed is the one of the live
	// ones that is a removal, -1 for none.
	replayed, live []int
	removed        int
	// last says that nothing happened to this log afterwards, and gone that it
	// lost the connection or left.
	last, gone bool
	// fresh says that nothing can be under way from before the subscribe.
	fresh bool
	// alone says that the state can only be the answer to that one subscribe.
	alone bool
}

// parts cuts a script into its parts.
func (s script) parts() []*part {
	var parts []*part
	current := make(map[logKey]*part)
	asked := make(map[logKey][]int)
	told := make(map[logKey]int)
	lost := make(map[logKey]bool)
	doubt := make(map[logKey]bool)
	for i := range s {
		st := &s[i]
		p := current[st.log]
		switch st.kind {
		case asks:
			asked[st.log] = append(asked[st.log], i)
			if p == nil {
				lost[st.log] = true
			}
		case loses, leaves:
			if p != nil {
				p.gone = true
			}
			if st.kind == leaves && len(asked[st.log]) > 0 {
				doubt[st.log] = true
			}
			if st.kind == loses {
				asked[st.log] = nil
				doubt[st.log] = false
				delete(current, st.log)
			}
		case gapTold:
			told[st.log] = i
			if p != nil {
				p.gone = true
			}
		case gets:
			switch f := st.frame.(type) {
			case *wire.State:
				if p != nil {
					p.last = false
				}
				p = &part{log: st.log, state: i, told: -1, removed: -1, asked: -1, last: true, fresh: lost[st.log]}
				lost[st.log] = false
				if a := asked[st.log]; len(a) > 0 {
					p.asked, p.since = a[0], s[a[0]].since
					asked[st.log] = a[1:]
					p.alone = !doubt[st.log]
					doubt[st.log] = doubt[st.log] && len(a) > 1
				}
				if t, ok := told[st.log]; ok {
					p.told = t
					delete(told, st.log)
				}
				current[st.log] = p
				parts = append(parts, p)
			case *wire.Error:
				if f.Code == codes.ReplayCursorNotFound {
					p.told = i
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
	return parts
}
