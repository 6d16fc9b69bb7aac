package checker

import (
	"bytes"
	"encoding/json"
	"fmt"
	"sync"

	"github.com/safe-go/safe/internal/wire"
	"github.com/safe-go/safe/sharedata"
)

// Bounds of a recording. A run that is longer is recorded in parts, each with
// a Recorder of its own.
const (
	// MaxRecords is how many frames, proposals and other events a Recorder
	// takes. They need roughly 120 bytes each.
	MaxRecords = 1 << 22
	// maxStateBytes bounds the texts of states that are kept for models.
	maxStateBytes = 64 << 20
)

// Recorder takes down what happened in one run. All its methods, and those of
// what it returns, may be called from any number of goroutines.
type Recorder struct {
	// mu guards everything below and the records of every log.
	mu   sync.Mutex
	last uint64 // the number of the newest record
	full bool
	// limit is MaxRecords.
	limit uint64

	logs        []*log
	connections int
	proposals   []*Pending
	histories   map[string]*histories
	// losses are the times that a store lost something, by ShareData.
	losses map[string][]*loss
	// outages are the times that the store was out of reach.
	outages []*outage
	// states are texts of states by their hashes, of stateBytes in all.
	states     map[sharedata.Hash]json.RawMessage
	stateBytes int
	// found are the violations that were noticed while recording.
	found Violations
}

// NewRecorder returns an empty recorder.
func NewRecorder() *Recorder {
	return &Recorder{
		limit:     MaxRecords,
		histories: make(map[string]*histories),
		losses:    make(map[string][]*loss),
		states:    make(map[sharedata.Hash]json.RawMessage),
	}
}

// Subscriber records frames about one ShareData. The name is for reports.
// Where one party subscribes over several connections in turn, one Subscriber
// takes them all; connections that exist at the same time need one each.
func (r *Recorder) Subscriber(name, shareData string) *Subscriber {
	return &Subscriber{r.newLog(name, shareData, false)}
}

// User records what a reconnecting client delivers of one ShareData. The name
// is for reports.
func (r *Recorder) User(name, shareData string) *User {
	return &User{r.newLog(name, shareData, true)}
}

// log is what one subscriber recorded, in order.
type log struct {
	recorder  *Recorder
	name      string
	shareData string
	user      bool
	server    string   // which process it is about; empty where that changes
	records   []record // guarded by recorder.mu
}

func (r *Recorder) newLog(name, shareData string, user bool) *log {
	l := &log{recorder: r, name: name, shareData: shareData, user: user}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.logs = append(r.logs, l)
	return l
}

func (l *log) add(rec record) {
	l.recorder.mu.Lock()
	defer l.recorder.mu.Unlock()
	if rec.at = l.recorder.nextLocked(); rec.at != 0 {
		l.records = append(l.records, rec)
	}
}

// nextLocked numbers a record. 0 means that it is not to be recorded.
func (r *Recorder) nextLocked() uint64 {
	if r.last >= r.limit {
		r.full = true
		return 0
	}
	r.last++
	return r.last
}

// keepState remembers the state in a frame if a model cannot compute it.
func (l *log) keepState(frame wire.ServerMessage) {
	switch f := frame.(type) {
	case *wire.State:
		l.recorder.keepState(f.CurrentState)
	case *wire.Lifecycle:
		l.recorder.keepState(f.CurrentState)
	}
}

// keepState remembers the text of a state from which a model may start.
func (r *Recorder) keepState(state json.RawMessage) {
	hash := sharedata.HashState(state)
	r.mu.Lock()
	defer r.mu.Unlock()
	if _, kept := r.states[hash]; kept || state == nil || r.stateBytes+len(state) > maxStateBytes {
		return
	}
	r.states[hash] = bytes.Clone(state)
	r.stateBytes += len(state)
}

// Summary counts what was recorded. A test looks at it to be sure that it has
// tested what it meant to.
type Summary struct {
	// States are the snapshots; Resumed those after which something was
	// replayed or, at a User, that were called resumed; Gaps are the times
	// somebody was told that a cursor was not found or of a gap.
	States, Resumed, Gaps int
	// Live and Replayed are frames of entries, Removals among them.
	Live, Replayed, Removals int
	// Disconnects are lost connections, FellBehind those closed with 4001.
	Disconnects, FellBehind int
	// Proposals are the sum of the next four. Refused are answers without a
	// transaction, Unanswered those whose outcome nobody learned.
	Proposals, Accepted, Rejected, Refused, Unanswered int
	// Duplicates are answers that repeat an earlier verdict.
	Duplicates int
	// Administered are creations and wholesale updates that were acknowledged.
	Administered int
	// Histories are the incarnations of which something was recorded, Entries
	// what they hold.
	Histories, Entries int
}

// String names the figures that are not zero.
func (s Summary) String() string {
	text := ""
	for _, figure := range []struct {
		n    int
		name string
	}{
		{s.States, "states"}, {s.Resumed, "resumed"}, {s.Gaps, "gaps told"}, {s.Live, "live frames"},
		{s.Replayed, "replayed frames"}, {s.Removals, "removals seen"}, {s.Disconnects, "disconnects"},
		{s.FellBehind, "fell behind"}, {s.Proposals, "proposals"}, {s.Accepted, "accepted"},
		{s.Rejected, "rejected"}, {s.Refused, "refused"}, {s.Unanswered, "unanswered"},
		{s.Duplicates, "duplicates"}, {s.Administered, "creations and updates"},
		{s.Histories, "histories"}, {s.Entries, "entries"},
	} {
		if figure.n != 0 {
			text += fmt.Sprintf(", %d %s", figure.n, figure.name)
		}
	}
	if text == "" {
		return "nothing recorded"
	}
	return text[2:]
}

// Summary counts what has been recorded so far.
func (r *Recorder) Summary() Summary {
	r.mu.Lock()
	defer r.mu.Unlock()
	var s Summary
	for _, l := range r.logs {
		for i := range l.records {
			l.records[i].count(&s)
		}
	}
	for _, p := range r.proposals {
		p.operation.count(&s)
	}
	for _, h := range r.histories {
		for _, c := range h.chains {
			s.Entries += len(c.entries)
			if len(c.entries) > 0 {
				s.Histories++
			}
		}
	}
	return s
}
