package bolt

import (
	"bytes"
	"encoding/binary"
	"errors"
	"math"
	"reflect"
	"testing"

	"github.com/safe-go/safe/replay"
)

// FuzzCheck holds the check against a file with some bytes changed, and cut. It
// must end, with an error or none.
func FuzzCheck(f *testing.F) {
	content, _ := sample(f, 40)
	f.Add([]byte{}, uint32(0))
	f.Add([]byte{0, 0, 16, 12, 0xFF}, uint32(0)) // each change is a place and a byte
	f.Add([]byte{0, 0, 0, 16, 1, 0, 0, 16, 16, 1}, uint32(0))
	f.Add([]byte{}, uint32(5000))
	f.Fuzz(func(t *testing.T, changes []byte, cut uint32) {
		file := bytes.Clone(content[:uint64(len(content))-uint64(cut)%uint64(len(content))])
		for ; len(changes) >= 5; changes = changes[5:] {
			at := uint64(binary.BigEndian.Uint32(changes)) % uint64(len(file))
			file[at] ^= changes[4]
		}
		c := &fileCheck{file: bytes.NewReader(file), size: int64(len(file))}
		_, err := c.begin()
		if err == nil {
			err = c.root()
		}
		if err == nil {
			err = c.trees()
		}
		if err = c.failed("", err); err != nil && !errors.Is(err, ErrDamaged) && !errors.Is(err, ErrForeign) {
			t.Errorf("%v; want ErrDamaged or ErrForeign", err)
		}
	})
}

// FuzzPage holds the parser of pages against any page.
func FuzzPage(f *testing.F) {
	content, _ := sample(f, 40)
	for at := 0; at+pageBytes <= len(content); at += pageBytes {
		f.Add(content[at : at+pageBytes])
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		p := page(b)
		if err := p.check(); err != nil {
			if !errors.Is(err, ErrDamaged) {
				t.Fatalf("%v; want ErrDamaged", err)
			}
			return
		}
		size := pageHeaderBytes
		for i := range p.count() {
			size += elementBytes + len(p.key(i))
			if p.isLeaf() {
				size += len(p.value(i))
			}
		}
		if size > len(b) {
			t.Errorf("%d elements of %d bytes were read from %d", p.count(), size, len(b))
		}
	})
}

// FuzzRecords holds the decoders against any payload. What they accept, they
// encode to the same.
func FuzzRecords(f *testing.F) {
	h := head{number: 3, cursor: replay.Cursor{Epoch: 1 << 60, Revision: 9}, first: replay.Cursor{Epoch: 5, Revision: 1},
		count: 4, bytes: 1000, at: 1 << 40, snapshot: 7, form: snapshotInParts, snapshotBytes: 9, snapshotSum: 1 << 31, meta: []byte("meta")}
	f.Add(h.encode())
	f.Add(formerHead(h, stateInEntry))
	f.Add(formerHead(h, stateInBucket))
	f.Add(encodeEntry(5, &replay.Entry{Key: "key", Data: []byte("data")}))
	e := tombstone{cursor: replay.Cursor{Epoch: 1, Revision: 2}, at: 3, number: 4}
	f.Add(e.encode())
	f.Fuzz(func(t *testing.T, payload []byte) {
		if h, err := decodeHead(payload); err == nil && h.form == snapshotInParts {
			if again, err := decodeHead(h.encode()); err != nil || !reflect.DeepEqual(again, h) {
				t.Errorf("%+v became %+v, %v", h, again, err)
			}
		}
		if e, err := decodeTombstone(payload); err == nil {
			if again, err := decodeTombstone(e.encode()); err != nil || again != e {
				t.Errorf("%+v became %+v, %v", e, again, err)
			}
		}
		if e, err := decodeEntry(payload); err == nil {
			whole := e.entry(replay.Cursor{})
			if again, err := decodeEntry(encodeEntry(e.at, &whole)); err != nil || !reflect.DeepEqual(again.entry(replay.Cursor{}), whole) {
				t.Errorf("%+v became %+v, %v", whole, again, err)
			}
		}
	})
}

func TestRecords_RoundTrip(t *testing.T) {
	for _, h := range []head{
		{cursor: replay.Cursor{Epoch: math.MaxUint64, Revision: math.MaxUint64}, number: math.MaxUint64,
			first: replay.Cursor{Epoch: 1, Revision: math.MaxUint64}, count: math.MaxUint64, bytes: math.MaxUint64,
			at: math.MaxInt64, snapshot: math.MaxUint64, form: snapshotInParts, snapshotBytes: 9, snapshotSum: 1 << 31, meta: []byte("meta")},
		{cursor: replay.Cursor{Epoch: 1, Revision: 1}, first: replay.Cursor{Epoch: 1, Revision: 2}, form: snapshotInParts, snapshotBytes: 9, snapshotSum: 1 << 31, meta: []byte{}},
	} {
		if got, err := decodeHead(h.encode()); err != nil || !reflect.DeepEqual(*got, h) {
			t.Errorf("%+v became %+v, %v", h, got, err)
		}
	}
	h := head{cursor: replay.Cursor{Epoch: 3, Revision: 9}, first: replay.Cursor{Epoch: 2, Revision: 4}, snapshot: 5, form: snapshotInParts, snapshotBytes: 9, snapshotSum: 1 << 31, meta: []byte("meta")}
	for _, form := range []snapshotForm{stateInEntry, stateInBucket} {
		want := h // entries after the one that changed the state left it as it was
		want.form, want.snapshot, want.stateAt, want.snapshotBytes, want.snapshotSum = form, 9, 5, 0, 0
		if got, err := decodeHead(formerHead(h, form)); err != nil || !reflect.DeepEqual(*got, want) {
			t.Errorf("%+v in stateFormat became %+v, %v", h, got, err)
		}
	}
	if got, err := decodeHead(formerHead(h, snapshotInParts+1)); !errors.Is(err, ErrDamaged) {
		t.Errorf("a head of a form that is not known: %+v, %v; want ErrDamaged", got, err)
	}
	e := tombstone{cursor: replay.Cursor{Epoch: math.MaxUint64, Revision: 1}, at: 1 << 41, number: math.MaxUint64}
	if got, err := decodeTombstone(e.encode()); err != nil || got != e {
		t.Errorf("%+v became %+v, %v", e, got, err)
	}
}

// formerHead encodes a head in another form. The snapshot is that of the entry that
// has changed the state last.
func formerHead(h head, form snapshotForm) []byte {
	payload := h.encode()
	end := len(payload) - len(h.meta) - 1 - 4 // which is the length and the sum of the snapshot
	payload = append(payload[:end], payload[len(payload)-len(h.meta):]...)
	payload[end-1] = byte(form)
	return payload
}

func TestSeal_BindsKeyAndBucket(t *testing.T) {
	key, payload := []byte("key"), []byte("payload")
	value := headsBucket.seal(key, bytes.Clone(payload))
	if got, err := headsBucket.unseal(key, value); err != nil || !bytes.Equal(got, payload) {
		t.Errorf("unseal: %q, %v", got, err)
	}
	for name, err := range map[string]error{
		"another bucket": second(snapshotsBucket.unseal(key, value)),
		"another key":    second(headsBucket.unseal([]byte("kez"), value)),
		"a shorter key":  second(headsBucket.unseal([]byte("ke"), append([]byte("y"), value...))),
		"nothing":        second(headsBucket.unseal(key, nil)),
		"its checksum":   second(headsBucket.unseal(key, value[len(value)-4:])),
	} {
		if !errors.Is(err, ErrDamaged) {
			t.Errorf("a value under %s: %v; want ErrDamaged", name, err)
		}
	}
}

func second(_ []byte, err error) error { return err }
