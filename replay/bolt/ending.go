package bolt

import (
	"encoding/binary"
	"math"
	"time"

	"github.com/safe-go/safe/replay"
)

// endingsAge is how long it is known exactly where a removed history ended. Of
// those that were removed earlier only the latest position is known. It counts
// as that of every id of which nothing else is known: too late an epoch may be
// asked for, but never too early a one accepted.
const endingsAge = 30 * 24 * time.Hour

// endingsPerRemoval is how many endings a removal may forget: more than the one
// that it adds, so that they become fewer.
const endingsPerRemoval = 4

// ending is where a removed history ended.
type ending struct {
	cursor replay.Cursor
	// at is when, in milliseconds since 1970.
	at int64
	// number is the history's.
	number uint64
}

func (e *ending) encode() []byte {
	payload := appendCursor(nil, e.cursor)
	payload = binary.AppendUvarint(payload, uint64(e.at))
	return binary.AppendUvarint(payload, e.number)
}

func decodeEnding(payload []byte) (ending, error) {
	p := parser{rest: payload}
	e := ending{cursor: p.cursor()}
	at := p.number()
	e.at, e.number = int64(at), p.number()
	if p.bad || len(p.rest) > 0 || at > math.MaxInt64 {
		return ending{}, damaged("the ending of a history is not encoded as this store does")
	}
	return e, nil
}

// ended returns where the id's last history ended. It is zero if there was
// none, and its number is if that is no longer known exactly.
func (c content) ended(id string) (ending, error) {
	payload, found, err := c.get(endedBucket, idKey(id))
	if err != nil {
		return ending{}, err
	}
	if found {
		return decodeEnding(payload)
	}
	floor, err := c.floor()
	return ending{cursor: floor}, err
}

// end notes where a history ended.
func (c content) end(id string, e ending) error {
	if err := c.put(endedBucket, idKey(id), e.encode()); err != nil {
		return err
	}
	return c.put(endingsBucket, endingKey(e.at, e.number), []byte(id))
}

// forgetEnding removes the exact ending of an id.
func (c content) forgetEnding(id string, e ending) error {
	if err := c.delete(endedBucket, idKey(id)); err != nil {
		return err
	}
	return c.delete(endingsBucket, endingKey(e.at, e.number))
}

// forgetEndings removes the endings from before a time and raises the floor to
// them, a few at a time.
func (c content) forgetEndings(before int64) error {
	for range endingsPerRemoval {
		key, value := c.bucket(endingsBucket).Cursor().First()
		if key == nil {
			return nil
		}
		if len(key) != 2*8 {
			return damaged("a key of %d bytes in %q", len(key), endingsBucket.name)
		}
		at, number := int64(binary.BigEndian.Uint64(key)), binary.BigEndian.Uint64(key[8:])
		if at >= before {
			return nil
		}
		id, err := endingsBucket.unseal(key, value)
		if err != nil {
			return err
		}
		if err := c.raiseFloor(string(id), number); err != nil {
			return err
		}
		if err := c.forgetEnding(string(id), ending{at: at, number: number}); err != nil {
			return err
		}
	}
	return nil
}

// raiseFloor makes the floor at least as late as the ending of an id.
func (c content) raiseFloor(id string, number uint64) error {
	e, err := c.ended(id)
	if err != nil {
		return err
	}
	if e.number != number {
		return damaged("the endings of %.60q differ", id)
	}
	floor, err := c.floor()
	if err != nil || e.cursor.Epoch <= floor.Epoch {
		return err
	}
	return c.put(formatBucket, []byte(floorKey), appendCursor(nil, e.cursor))
}
