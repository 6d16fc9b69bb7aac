package bolt

import (
	"bytes"
	"errors"
	"math/rand/v2"
	"os"
	"testing"
)

// sample is a closed file with a bit of everything, and what it holds.
func sample(t testing.TB, batches int) ([]byte, known) {
	t.Helper()
	path, k := newPath(t), known{}
	s := open(t, path, nil)
	epoch := uint64(100)
	k.fill(t, s, rand.New(rand.NewPCG(1, 2)), &epoch, batches)
	if err := k.verify(t, s); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	m, err := readMeta(bytes.NewReader(content), int64(len(content)))
	if err != nil {
		t.Fatal(err)
	}
	return content[:int64(m.pages)*m.pageBytes], k // behind it is nothing
}

// useDamaged writes the content to a file and uses it like any other. It must
// be refused, or answer rightly, or say that it is damaged.
func useDamaged(t testing.TB, path string, content []byte, k known) (refused bool) {
	t.Helper()
	if err := os.WriteFile(path, content, 0o600); err != nil {
		t.Fatal(err)
	}
	s, err := Open(path, nil)
	if err != nil {
		if !errors.Is(err, ErrDamaged) && !errors.Is(err, ErrForeign) {
			t.Fatalf("Open: %v; want ErrDamaged or ErrForeign", err)
		}
		return true
	}
	defer s.Close()
	if err := k.verify(t, s); err != nil && !errors.Is(err, ErrDamaged) {
		t.Fatal(err)
	}
	for _, id := range []string{"id 0", "id 1", "id 2", "new"} {
		batch := k.next(id, entryOf("more"))
		if k[id] == nil {
			batch.Entries[0].Cursor.Epoch = 1 << 40
		}
		err := s.Append(t.Context(), id, batch)
		if err != nil && !errors.Is(err, ErrDamaged) {
			t.Fatalf("Append to %q: %v", id, err)
		}
		if err != nil {
			continue
		}
		got, err := s.Read(t.Context(), id, batch.Expect, 10)
		if batch.Expect.IsZero() {
			at := batch.Entries[0].Cursor
			at.Revision = 0
			got, err = s.Read(t.Context(), id, at, 10)
		}
		if err == nil {
			err = sameEntries(got, batch.Entries)
		}
		if err != nil && !errors.Is(err, ErrDamaged) {
			t.Fatalf("Read of what was appended to %q: %v", id, err)
		}
	}
	return false
}

// spoil changes a copy of a file in one of the ways that files are changed in.
func spoil(content []byte, random *rand.Rand) []byte {
	content = bytes.Clone(content)
	page := pageBytes
	at := random.IntN(len(content))
	within := content[at/page*page : min((at/page+1)*page, len(content))]
	switch random.IntN(8) {
	case 0:
		return content[:at]
	case 1:
		return content[:at/page*page]
	case 2:
		clear(within)
	case 3:
		for i := range within {
			within[i] = byte(random.Uint32())
		}
	case 4:
		from := random.IntN(len(content)/page) * page
		copy(within, content[from:from+page])
	case 5: // in the header of a page or of its first elements
		within[random.IntN(64)] ^= 1 << random.IntN(8)
	case 6:
		n := min(len(within), 512)
		clear(within[len(within)-n:])
	default:
		content[at] ^= 1 << random.IntN(8)
	}
	return content
}

func TestADamagedFileIsRefusedOrAnswersRightly(t *testing.T) {
	content, k := sample(t, 150)
	path := newPath(t)
	refused := 0
	const rounds = 400
	for seed := range uint64(rounds) {
		spoiled := spoil(content, rand.New(rand.NewPCG(seed, 0)))
		if useDamaged(t, path, spoiled, k) {
			refused++
		}
		if t.Failed() {
			t.Fatalf("with seed %d", seed)
		}
	}
	t.Logf("%d of %d files of %d bytes were refused", refused, rounds, len(content))
	if refused < rounds/2 {
		t.Errorf("only %d of %d damaged files were refused", refused, rounds)
	}
}

func FuzzDamage(f *testing.F) {
	content, k := sample(f, 150)
	for seed := range uint64(20) {
		f.Add(seed, uint32(seed)*uint32(pageBytes), byte(seed))
	}
	f.Fuzz(func(t *testing.T, seed uint64, at uint32, change byte) {
		spoiled := bytes.Clone(content)
		spoiled[int(at)%len(spoiled)] ^= change
		if seed%2 == 1 {
			spoiled = spoil(spoiled, rand.New(rand.NewPCG(seed, 0)))
		}
		useDamaged(t, newPath(t), spoiled, k)
	})
}
