package redis

import (
	"encoding/binary"
	"errors"

	"github.com/safe-go/safe/replay"
)

// announcement is what is published of each committed batch: one byte each for the
// version and the flags; the cursor of the last entry and the batch's token, each
// after a byte with its length; and the number of entries and the entries. An entry
// is its key and its data, each after its length. These numbers have four bytes,
// the highest first. An empty message has followers read the position, as does any
// other that is not an announcement.
type announcement struct {
	last    replay.Cursor
	token   string
	removed bool
	// entries are nil if the batch is too large.
	entries []replay.Entry
}

const (
	// announcementVersion is 2 since entries have no states.
	announcementVersion = 2
	flagRemoved         = 1
	// entryLengths is how many bytes the lengths of one entry have.
	entryLengths = 8
	// maxAnnounced is how many bytes of entries an announcement has at most.
	maxAnnounced = 64 << 10
)

var errAnnouncement = errors.New("not an announcement of this version")

// announce writes the announcement of a batch.
func announce(batch *replay.Batch, token string) []byte {
	entries, size := batch.Entries, 0
	for i := range entries {
		if size += len(entries[i].Key) + len(entries[i].Data) + entryLengths; size > maxAnnounced {
			entries, size = nil, 0
			break
		}
	}
	flags := byte(0)
	if batch.Remove {
		flags |= flagRemoved
	}
	last := batch.Last().String()
	out := make([]byte, 0, 8+len(last)+len(token)+size)
	out = append(out, announcementVersion, flags, byte(len(last)))
	out = append(out, last...)
	out = append(out, byte(len(token)))
	out = append(out, token...)
	out = binary.BigEndian.AppendUint32(out, uint32(len(entries)))
	for i := range entries {
		out = binary.BigEndian.AppendUint32(out, uint32(len(entries[i].Key)))
		out = append(out, entries[i].Key...)
		out = binary.BigEndian.AppendUint32(out, uint32(len(entries[i].Data)))
		out = append(out, entries[i].Data...)
	}
	return out
}

func parseAnnouncement(payload string) (a announcement, err error) {
	in := &input{rest: payload}
	version, flags := in.byte(), in.byte()
	last := in.take(uint32(in.byte()))
	a.token = in.take(uint32(in.byte()))
	count := in.number()
	if in.short || version != announcementVersion || uint64(count)*entryLengths > uint64(len(in.rest)) {
		return announcement{}, errAnnouncement
	}
	if a.last, err = replay.ParseCursor(last); err != nil || a.last.Revision == 0 || uint64(count) > a.last.Revision {
		return announcement{}, errAnnouncement
	}
	a.removed = flags&flagRemoved != 0
	for i := range count {
		cursor := replay.Cursor{Epoch: a.last.Epoch, Revision: a.last.Revision - uint64(count-1-i)}
		a.entries = append(a.entries, replay.Entry{Cursor: cursor, Key: in.take(in.number()), Data: []byte(in.take(in.number()))})
	}
	if in.short || in.rest != "" {
		return announcement{}, errAnnouncement
	}
	return a, nil
}

// input is what is left to be read. Where it is too short, it reads as nothing.
type input struct {
	rest  string
	short bool
}

func (in *input) take(n uint32) string {
	if in.short = in.short || uint64(n) > uint64(len(in.rest)); in.short {
		return ""
	}
	taken := in.rest[:n]
	in.rest = in.rest[n:]
	return taken
}

func (in *input) byte() byte {
	if taken := in.take(1); taken != "" {
		return taken[0]
	}
	return 0
}

func (in *input) number() uint32 {
	if taken := in.take(4); taken != "" {
		return binary.BigEndian.Uint32([]byte(taken))
	}
	return 0
}
