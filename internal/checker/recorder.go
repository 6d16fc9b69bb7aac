package checker

import (
	"bytes"
	"encoding/json"
	"sync"

	"github.com/safe-go/safe/internal/wire"
	"github.com/safe-go/safe/sharedata"
)

// Bounds of a recording. A longer run needs several Recorders, one after the other.
const (
	// MaxRecords is how many frames, operations and other events a Recorder keeps.
	// Each needs about 120 bytes.
	MaxRecords = 1 << 22
	// maxStateBytes bounds the states that are kept for models.
	maxStateBytes = 64 << 20
)

// Recorder records one run. All its methods, and those of what it returns, may be
// called from any number of goroutines.
type Recorder struct {
	// mu guards everything below and the records of every log.
	mu   sync.Mutex
	last uint64 // the number of the newest record
	full bool
	// limit is MaxRecords.
	limit uint64

	logs        []*log
	connections int
	operations  []*Pending
	histories   map[string]*histories
	// losses are the times at which the store lost data, by ShareData.
	losses map[string][]*loss
	// outages are the times in which the store was unreachable.
	outages []*outage
	// states are states by their hashes, stateBytes in all.
	states     map[sharedata.Hash]json.RawMessage
	stateBytes int
	// violations are those that were found while recording.
	violations Violations
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

// Subscriber records the frames about one ShareData. The name is for reports. It
// may be used for several connections, one after the other; connections that exist
// at the same time need one each.
func (r *Recorder) Subscriber(name, shareData string) *Subscriber {
	return &Subscriber{r.newLog(name, shareData, false)}
}

// Client records what a reconnecting client delivers about one ShareData. The name
// is for reports.
func (r *Recorder) Client(name, shareData string) *Client {
	return &Client{r.newLog(name, shareData, true)}
}

// log has the records of one Subscriber or Client, in order.
type log struct {
	recorder  *Recorder
	name      string
	shareData string
	client    bool
	server    string // the process at the other end; empty where it is not known or changes
	// mu is taken before recorder.mu.
	mu      sync.Mutex
	held    heldState // guarded by mu
	records []record  // guarded by recorder.mu
}

func (r *Recorder) newLog(name, shareData string, client bool) *log {
	l := &log{recorder: r, name: name, shareData: shareData, client: client}
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

// nextLocked returns the number of a new record; 0 if the recording is full.
func (r *Recorder) nextLocked() uint64 {
	if r.last >= r.limit {
		r.full = true
		return 0
	}
	r.last++
	return r.last
}

// keepState keeps the state in a frame where a model may start from it.
func (l *log) keepState(frame wire.ServerMessage) {
	switch f := frame.(type) {
	case *wire.State:
		l.recorder.keepState(f.CurrentState)
	case *wire.Lifecycle:
		l.recorder.keepState(f.CurrentState)
	}
}

// keepState keeps a state from which a model may start.
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
