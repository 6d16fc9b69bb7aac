package bolt

import (
	"bytes"

	"github.com/safe-go/safe/replay"
)

// trimPerAppend is how many entries more than it appends an append may forget.
// It bounds what an append costs where the bounds of a large file were lowered.
const trimPerAppend = 256

// victim is an entry that is to be forgotten.
type victim struct {
	at  replay.Cursor
	key string
	// state is a copy of the entry's state if that is the newest.
	state []byte
}

// trim forgets up to limit of the oldest entries, as far as the bounds ask for
// it.
func (w *writing) trim(h *head, limit int) error {
	if !w.exceeded(h) && w.expired == neverExpired {
		return nil
	}
	victims, err := w.victims(h, limit)
	if err != nil {
		return err
	}
	for i := range victims {
		if err := w.forget(h, &victims[i]); err != nil {
			return err
		}
	}
	return nil
}

func (w *writing) exceeded(h *head) bool {
	return h.count > w.limits.maxEntries || h.bytes > w.limits.maxBytes
}

// victims takes the entries that are to be forgotten out of the head.
func (w *writing) victims(h *head, limit int) ([]victim, error) {
	var victims []victim
	prefix := numberKey(h.number)
	cursor := w.bucket(entriesBucket).Cursor()
	key, value := cursor.Seek(entryKey(h.number, h.first))
	for h.count > 0 {
		if len(key) != entryKeySize || !bytes.HasPrefix(key, prefix) {
			return nil, damaged("a history of %d entries more has none", h.count)
		}
		_, h.first = parseEntryKey(key)
		payload, err := entriesBucket.unseal(key, value)
		if err != nil {
			return nil, err
		}
		e, err := decodeEntry(payload)
		if err != nil {
			return nil, err
		}
		if len(victims) == limit || !w.exceeded(h) && e.at >= w.expired {
			return victims, nil
		}
		v := victim{at: h.first, key: string(e.key)}
		if !h.apart && h.state == v.at.Revision && h.cursor.Epoch == v.at.Epoch {
			v.state = clone(e.state)
		}
		victims = append(victims, v)
		h.count--
		h.bytes -= min(h.bytes, e.size())
		key, value = cursor.Next()
	}
	h.first = h.cursor.Next()
	return victims, nil
}

// forget deletes an entry, and its key unless a newer entry has taken that
// over. The newest state stays.
func (w *writing) forget(h *head, v *victim) error {
	if err := w.delete(entriesBucket, entryKey(h.number, v.at)); err != nil {
		return err
	}
	if v.key != "" {
		at, found, err := w.byKey(h.number, v.key)
		if err != nil {
			return err
		}
		if found && at == v.at {
			if err := w.delete(keysBucket, keyKey(h.number, v.key)); err != nil {
				return err
			}
		}
	}
	if v.state == nil {
		return nil
	}
	h.apart = true
	return w.put(statesBucket, numberKey(h.number), v.state)
}
