package sharedata

import (
	"context"

	"github.com/safe-go/safe/replay"
)

// lookUp asks the store for verdicts by the keys that are undecided.
func (c *committer) lookUp(d *decision) error {
	s, keys := c.shareData, d.undecided
	c.limit = len(d.outcomes)
	ctx, cancel := s.manager.storeContext(context.Background())
	defer cancel()
	stored, err := s.manager.options.Store.Find(ctx, s.id, keys)
	if err != nil {
		return s.storeError("find", err)
	}
	if err := c.addFound(stored); err != nil {
		return err
	}
	if c.known.missing == nil {
		c.known.missing = make(map[string]bool)
	}
	for _, key := range keys {
		c.known.missing[key] = true
	}
	at := s.current.Load().cursor
	for i := range stored {
		if stored[i].Cursor.After(at) {
			// Another process has reached the verdict. The proposer gets it once its
			// effect can be seen here.
			return s.refresh()
		}
	}
	return nil
}

// addFound remembers the verdicts in entries that the store has found.
func (c *committer) addFound(stored []replay.Entry) error {
	if c.known.found == nil {
		c.known.found = make(map[string]Entry)
	}
	for i := range stored {
		e, err := entryFrom(c.shareData.id, stored[i])
		if err != nil {
			return c.shareData.storeError("find", err)
		}
		c.known.found[stored[i].Key] = e
	}
	return nil
}
