package audit

import (
	"fmt"
	"io"
	"slices"

	"github.com/lestrrat-go/jwx/v2/jwk"

	"github.com/safe-go/safe/replay"
	"github.com/safe-go/safe/sharedata"
)

// Options configures Verify. Nil checks the chain of an export without checkpoints.
type Options struct {
	// ShareDataID is the ShareData that the export must be of. Default: any;
	// Report.Chain says which.
	ShareDataID string
	// Keys are the public keys of the service. Get them from the service itself, and not
	// with the export. Default: none; an export with checkpoints is refused then.
	Keys jwk.Set
	// Checkpoints are the JWS that the auditor got from the service before, in any order.
	// The export must contain the entry of each. Those of other ShareData are ignored if
	// ShareDataID is set, and refused otherwise. Default: none.
	Checkpoints []string
	// RequireFinal refuses an export that does not end with a checkpoint, of its last
	// entry. Without it, missing entries at the end show only by Checkpoints.
	RequireFinal bool
	// RequireStart refuses an export that does not begin with the first entry of the
	// ShareData. Default: Report.Chain.First says where it begins.
	RequireStart bool
	// AllowTrimmed accepts Checkpoints of entries before the first one of the export, for
	// a service that keeps the newest entries only. Report.BeforeStart counts them. At
	// least one checkpoint must be of an entry of the export, and an export that begins
	// with a first entry has not been trimmed: those that are older are of another
	// history, as after a removal, or that was written again.
	AllowTrimmed bool
	// MaxLineBytes is that of ReadOptions.
	MaxLineBytes int
}

// Report says what Verify found to be right.
type Report struct {
	// Chain is what all entries together are.
	Chain sharedata.Chain
	// Entries is the number of entries.
	Entries int
	// CheckpointsInExport is the number of checkpoints in the export.
	CheckpointsInExport int
	// CheckpointsMatched is how many of Options.Checkpoints are of entries of the export,
	// or of the entry before the first one.
	CheckpointsMatched int
	// BeforeStart is how many of Options.Checkpoints are of entries before the start of the
	// export; see AllowTrimmed.
	BeforeStart int
	// Newest is the checkpoint with the latest position; zero if there was none. The service
	// has signed all entries up to that. No checkpoint covers the entries after it, nor
	// shows whether the service had more entries after Newest.Time.
	Newest Checkpoint
}

// Verify checks an export, without the service that wrote it: that it is an unbroken
// part of one history, and that it agrees with the checkpoints in it and with those that
// the auditor holds. It fails with the first *Error, and returns what was right up to
// there. errors.Is finds the reason in the error: one of the errors of ReadEntries,
// sharedata.ErrChainBroken, ErrTruncated, ErrRewritten, ErrMissingStart,
// ErrBadCheckpoint or ErrWrongShareData. Options.Checkpoints that are bad fail before
// the export is read.
//
// A history that was written again with all its hashes is unbroken, but differs from
// every checkpoint at or after the change, which only a holder of the key can sign.
func Verify(r io.Reader, options *Options) (Report, error) {
	v := verification{}
	if options != nil {
		v.options = *options
	}
	if err := v.loadCheckpoints(v.options.Checkpoints); err != nil {
		return Report{}, err
	}
	maxLine, err := (&ReadOptions{MaxLineBytes: v.options.MaxLineBytes}).maxLineBytes()
	if err != nil {
		return Report{}, err
	}
	number := 0
	for l := range parseLines(r, maxLine) {
		number = l.number
		if err := v.next(l); err != nil {
			return v.report, err
		}
	}
	if err := v.checkEnd(); err != nil {
		return v.report, &Error{Line: number + 1, Err: err}
	}
	return v.report, nil
}

// verification is the state of one Verify.
type verification struct {
	options   Options
	states    sharedata.Replayer
	unmatched map[replay.Cursor]auditorCheckpoint // those of the auditor
	report    Report
	final     bool // the last line was a checkpoint
	begins    bool // the first entry continues nothing: none can have been trimmed
}

// auditorCheckpoint is a checkpoint of Options.Checkpoints, which may have several for
// an entry.
type auditorCheckpoint struct {
	Checkpoint
	count int
}

// loadCheckpoints verifies the auditor's checkpoints and adds them to unmatched.
func (v *verification) loadCheckpoints(checkpoints []string) error {
	v.unmatched = make(map[replay.Cursor]auditorCheckpoint, len(checkpoints))
	id := v.options.ShareDataID
	for i, compact := range checkpoints {
		c, err := ParseCheckpoint(compact, v.options.Keys)
		if err != nil {
			return fmt.Errorf("audit: Options.Checkpoints[%d]: %w", i, err)
		}
		if id == "" {
			id = c.ShareDataID
		}
		same, there := v.unmatched[c.Cursor]
		switch {
		case c.ShareDataID != id && v.options.ShareDataID != "":
			continue
		case c.ShareDataID != id:
			return fmt.Errorf("audit: Options.Checkpoints[%d]: %w: it is of %.60q, and others are of %.60q; set ShareDataID to choose one",
				i, ErrWrongShareData, c.ShareDataID, id)
		case there && same.Hash != c.Hash:
			return fmt.Errorf("audit: Options.Checkpoints[%d]: %w: the service has signed two hashes for the entry at %s", i, ErrRewritten, c.Cursor)
		}
		v.unmatched[c.Cursor] = auditorCheckpoint{c, same.count + 1}
	}
	v.options.ShareDataID = id
	return nil
}

// next checks the next line.
func (v *verification) next(l *line) error {
	err := l.err
	switch {
	case err != nil:
		return lineError(l, v.report.Chain.Last)
	case l.checkpoint != "":
		err = v.checkCheckpoint(l.checkpoint)
	default:
		err = v.checkEntry(&l.entry)
	}
	if err != nil {
		return &Error{Line: l.number, Err: err}
	}
	v.final = l.checkpoint != ""
	return nil
}

// checkEntry checks the next entry, and the auditor's checkpoint of it.
func (v *verification) checkEntry(e *sharedata.Entry) error {
	if v.report.Entries == 0 {
		if err := v.checkStart(e); err != nil {
			return err
		}
	}
	if err := v.report.Chain.Extend(*e); err != nil {
		return err
	}
	if _, err := v.states.Next(*e); err != nil {
		return err
	}
	v.report.Entries++
	return v.matchCheckpoint(e.Cursor, e.Hash)
}

// checkStart checks where the export begins.
func (v *verification) checkStart(e *sharedata.Entry) error {
	if id := v.options.ShareDataID; id != "" && e.ShareDataID != id {
		return fmt.Errorf("%w: the export is of %.60q, not of %.60q", ErrWrongShareData, e.ShareDataID, id)
	}
	before := e.Continues
	if e.Cursor.Revision > 1 {
		before = replay.Cursor{Epoch: e.Cursor.Epoch, Revision: e.Cursor.Revision - 1}
	}
	if before.IsZero() {
		v.begins = true
		return nil
	}
	if v.options.RequireStart {
		return fmt.Errorf("%w: the export begins at %s, after %s", ErrMissingStart, e.Cursor, before)
	}
	return v.matchCheckpoint(before, e.Previous)
}

// matchCheckpoint compares the auditor's checkpoint of an entry, if there is one, and
// counts it as matched.
func (v *verification) matchCheckpoint(cursor replay.Cursor, hash sharedata.Hash) error {
	c, there := v.unmatched[cursor]
	if !there {
		return nil
	}
	if c.Hash != hash {
		return rewritten(&c.Checkpoint)
	}
	delete(v.unmatched, cursor)
	v.report.CheckpointsMatched += c.count
	v.recordNewest(&c.Checkpoint)
	return nil
}

// checkCheckpoint checks a checkpoint in the export, which must be of the entry before it.
func (v *verification) checkCheckpoint(compact string) error {
	c, err := ParseCheckpoint(compact, v.options.Keys)
	if err != nil {
		return err
	}
	chain := &v.report.Chain
	switch {
	case chain.Last.IsZero():
		return fmt.Errorf("%w: the export has no entry before the checkpoint of %s", ErrTruncated, c.Cursor)
	case c.ShareDataID != chain.ShareDataID:
		return fmt.Errorf("%w: it is of %.60q, and the entries are of %.60q", ErrBadCheckpoint, c.ShareDataID, chain.ShareDataID)
	case c.Cursor.After(chain.Last):
		return fmt.Errorf("%w: the checkpoint is of the entry at %s, but the entries before it end at %s", ErrTruncated, c.Cursor, chain.Last)
	case c.Cursor != chain.Last:
		return fmt.Errorf("%w: it is of the entry at %s and stands after that at %s; put it after its own, or pass it in Options.Checkpoints",
			ErrBadCheckpoint, c.Cursor, chain.Last)
	case c.Hash != chain.Hash:
		return rewritten(&c)
	}
	v.report.CheckpointsInExport++
	v.recordNewest(&c)
	return nil
}

// recordNewest sets Report.Newest to the checkpoint if no other has a later position.
func (v *verification) recordNewest(c *Checkpoint) {
	if !v.report.Newest.Cursor.After(c.Cursor) {
		v.report.Newest = *c
	}
}

// rewritten is the error for an entry that is not the one of the checkpoint.
func rewritten(c *Checkpoint) error {
	return fmt.Errorf("%w: the entry at %s has another hash than in the checkpoint of %s", ErrRewritten, c.Cursor, timeText(c))
}

// checkEnd checks after the last line that no entry is missing of which the auditor has
// a checkpoint, and, if Options.RequireFinal is set, that the last entry is signed.
func (v *verification) checkEnd() error {
	chain := &v.report.Chain
	missing := make([]auditorCheckpoint, 0, len(v.unmatched))
	for _, c := range v.unmatched {
		missing = append(missing, c)
	}
	slices.SortFunc(missing, func(a, b auditorCheckpoint) int {
		if a.Cursor.After(b.Cursor) {
			return 1
		}
		return -1
	})
	for _, c := range missing {
		switch {
		case chain.Last.IsZero() || c.Cursor.After(chain.Last):
			return fmt.Errorf("%w: the checkpoint of %s is of the entry at %s, and the export ends at %s", ErrTruncated, timeText(&c.Checkpoint), c.Cursor, chain.Last)
		case c.Cursor.After(chain.First), v.begins && v.options.AllowTrimmed:
			return fmt.Errorf("%w: the entry at %s, of which there is a checkpoint of %s, is not in the history any more", ErrRewritten, c.Cursor, timeText(&c.Checkpoint))
		case !v.options.AllowTrimmed:
			return fmt.Errorf("%w: the checkpoint of %s is of the entry at %s, and the export begins at %s", ErrMissingStart, timeText(&c.Checkpoint), c.Cursor, chain.First)
		}
		v.report.BeforeStart += c.count
	}
	if v.report.BeforeStart > 0 && v.report.CheckpointsMatched+v.report.CheckpointsInExport == 0 {
		return fmt.Errorf("%w: no checkpoint is of an entry of the export, which begins at %s", ErrMissingStart, chain.First)
	}
	if v.options.RequireFinal && !v.final {
		return fmt.Errorf("%w: the export ends at %s without a checkpoint", ErrTruncated, chain.Last)
	}
	return nil
}
