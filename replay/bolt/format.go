package bolt

import (
	"encoding/binary"
	"fmt"

	"github.com/safe-go/safe/replay"
)

// The keys of the format bucket.
const (
	// nameKey has formatName, which tells the file from those of other programs.
	nameKey = "name"
	// versionKey has the version of the format.
	versionKey = "version"
	// nextKey has the number of the next history.
	nextKey = "next"
	// floorKey has the latest position at which a removed history ended that is
	// not in ended any more.
	floorKey = "floor"
)

const (
	formatName    = "github.com/safe-go/safe/replay/bolt"
	formatVersion = 1
)

// checkFormat says, as an ErrForeign, why this store cannot have written the
// file. It is given the payloads of nameKey and of versionKey.
func checkFormat(name, version []byte) error {
	if string(name) != formatName {
		return fmt.Errorf("%w: it is a bbolt file of another program", ErrForeign)
	}
	p := parser{rest: version}
	if got := p.number(); p.bad || got != formatVersion {
		return fmt.Errorf("%w: it is kept in format %d, and this version of the program knows only format %d",
			ErrForeign, got, formatVersion)
	}
	return nil
}

// create makes an empty file a store without histories.
func (c content) create() error {
	for _, b := range buckets() {
		if _, err := c.tx.CreateBucket(b.name); err != nil {
			return err
		}
	}
	for key, payload := range map[string][]byte{
		nameKey:    []byte(formatName),
		versionKey: binary.AppendUvarint(nil, formatVersion),
		nextKey:    binary.AppendUvarint(nil, 1),
		floorKey:   appendCursor(nil, replay.Cursor{}),
	} {
		if err := c.put(formatBucket, []byte(key), payload); err != nil {
			return err
		}
	}
	return nil
}

// format returns the payload of a key of the format bucket.
func (c content) format(key string) (parser, error) {
	payload, found, err := c.get(formatBucket, []byte(key))
	if err == nil && !found {
		err = damaged("%q has no %q", formatBucket.name, key)
	}
	return parser{rest: payload}, err
}

// floor is what ended says of ids that are not in it.
func (c content) floor() (replay.Cursor, error) {
	p, err := c.format(floorKey)
	return p.cursor(), err
}

// newNumber returns a number that no history has had.
func (c content) newNumber() (uint64, error) {
	p, err := c.format(nextKey)
	if err != nil {
		return 0, err
	}
	number := p.number()
	return number, c.put(formatBucket, []byte(nextKey), binary.AppendUvarint(nil, number+1))
}
