package bolt

import (
	"bytes"
	"time"

	bbolt "go.etcd.io/bbolt"

	"github.com/safe-go/safe/replay"
)

// writing is a transaction that commits batches.
type writing struct {
	reading
	limits *retention
	// now is the time of the transaction, in milliseconds since 1970.
	now int64
}

// entriesFill is how full a page of entries is left when it is split. A history
// grows at its end only, so nearly full ones need not be split again.
const entriesFill = 0.9

func newWriting(tx *bbolt.Tx, limits *retention, now time.Time) *writing {
	w := &writing{
		reading: reading{content: content{tx}, expired: limits.expiredAt(now)},
		limits:  limits,
		now:     now.UnixMilli(),
	}
	w.bucket(entriesBucket).FillPercent = entriesFill
	return w
}

// write commits a batch that nothing speaks against. After an error the transaction must not be committed.
func (w *writing) write(id string, h *head, batch *replay.Batch) error {
	fresh := h == nil
	if fresh {
		var err error
		if h, err = w.start(id); err != nil {
			return err
		}
	}
	if batch.Remove {
		return w.remove(id, h, fresh, batch.Last())
	}
	switch {
	case fresh:
		h.first = batch.Entries[0].Cursor
	case batch.Starts():
		if err := w.startOver(h); err != nil {
			return err
		}
	}
	h.at = max(h.at, w.now)
	for i := range batch.Entries {
		if err := w.add(h, &batch.Entries[i]); err != nil {
			return err
		}
	}
	h.meta = batch.Meta
	if err := w.trim(h, len(batch.Entries)+trimPerAppend); err != nil {
		return err
	}
	return w.put(headsBucket, idKey(id), h.encode())
}

// start returns the head of a new history, and forgets where the id's last one
// ended: the new one is in a later epoch.
func (w *writing) start(id string) (*head, error) {
	last, err := w.ended(id)
	if err != nil {
		return nil, err
	}
	if last.number != 0 {
		if err := w.forgetEnding(id, last); err != nil {
			return nil, err
		}
	}
	number, err := w.newNumber()
	return &head{number: number}, err
}

// startOver takes the state out of the head, which was of an earlier epoch.
func (w *writing) startOver(h *head) error {
	if h.apart {
		if err := w.delete(statesBucket, numberKey(h.number)); err != nil {
			return err
		}
	}
	h.state, h.apart = 0, false
	return nil
}

// add puts an entry behind the head.
func (w *writing) add(h *head, e *replay.Entry) error {
	h.cursor = e.Cursor
	h.count++
	h.bytes += entrySize(len(e.Key), len(e.Data), len(e.State))
	if err := w.put(entriesBucket, entryKey(h.number, e.Cursor), encodeEntry(h.at, e)); err != nil {
		return err
	}
	if e.Key != "" {
		if err := w.put(keysBucket, keyKey(h.number, e.Key), appendCursor(nil, e.Cursor)); err != nil {
			return err
		}
	}
	if len(e.State) == 0 {
		return nil
	}
	h.state = e.Cursor.Revision
	if !h.apart {
		return nil
	}
	h.apart = false
	return w.delete(statesBucket, numberKey(h.number))
}

// remove ends a history. Its head is gone at once, and with it everything else
// can no longer be reached; sweep deletes that.
func (w *writing) remove(id string, h *head, fresh bool, last replay.Cursor) error {
	if !fresh {
		if err := w.delete(headsBucket, idKey(id)); err != nil {
			return err
		}
		if err := w.delete(statesBucket, numberKey(h.number)); err != nil {
			return err
		}
		if err := w.put(removedBucket, numberKey(h.number), nil); err != nil {
			return err
		}
	}
	if err := w.end(id, ending{cursor: last, at: w.now, number: h.number}); err != nil {
		return err
	}
	return w.forgetEndings(w.now - endingsAge.Milliseconds())
}

// sweep deletes up to limit entries and keys of removed histories. It reports
// whether it did something, and whether something is left.
func (w *writing) sweep(limit int) (swept, more bool, err error) {
	for {
		key, value := w.bucket(removedBucket).Cursor().First()
		if key == nil {
			return swept, false, nil
		}
		if _, err := removedBucket.unseal(key, value); err != nil {
			return false, false, err
		}
		number := bytes.Clone(key)
		for _, b := range []bucket{entriesBucket, keysBucket} {
			n, err := w.deletePrefix(b, number, limit)
			if err != nil {
				return false, false, err
			}
			if limit -= n; limit <= 0 {
				return true, true, nil
			}
		}
		if err := w.delete(removedBucket, number); err != nil {
			return false, false, err
		}
		swept = true
	}
}
