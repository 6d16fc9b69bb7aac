package bolt

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	bbolt "go.etcd.io/bbolt"

	"github.com/safe-go/safe/replay"
)

func TestOpen_CreatesFile(t *testing.T) {
	path := newPath(t)
	s := open(t, path, nil)
	mustHold(t, s, model{})
	files, err := os.ReadDir(filepath.Dir(path))
	if err != nil || len(files) != 1 {
		t.Errorf("the folder has %v, %v; want the file only", files, err)
	}
	info, err := os.Stat(path)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the file: %v, %v; want mode 0600", info.Mode(), err)
	}
	if info.Size() > 1<<20 {
		t.Errorf("an empty file has %d bytes", info.Size())
	}
}

func TestOpen_Locked(t *testing.T) {
	path := newPath(t)
	s := open(t, path, nil)
	for range 3 {
		_, err := Open(path, nil)
		if !errors.Is(err, ErrLocked) || !strings.Contains(err.Error(), path) {
			t.Fatalf("Open of a file that is open: %v; want ErrLocked, and where", err)
		}
	}
	mustAppend(t, s, model{}, "id", model{}.next("id", entryOf("data")))
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if err := open(t, path, nil).Close(); err != nil {
		t.Fatal(err)
	}
}

// boltFile is a file of bbolt that some other program made.
func boltFile(t *testing.T, do func(tx *bbolt.Tx) error) []byte {
	t.Helper()
	path := newPath(t)
	db, err := bbolt.Open(path, 0o600, nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(db.Update(do), db.Close()); err != nil {
		t.Fatal(err)
	}
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return content
}

// formatted is a file of this store with another payload in the format bucket.
func formatted(t *testing.T, key string, payload []byte) []byte {
	return boltFile(t, func(tx *bbolt.Tx) error {
		c := (&content{tx: tx})
		return errors.Join(c.create(), c.put(formatBucket, []byte(key), payload))
	})
}

func TestOpen_UnusableFiles(t *testing.T) {
	good, _ := sample(t, 20)
	bucketOnly := func(name string) []byte {
		return boltFile(t, func(tx *bbolt.Tx) error {
			_, err := tx.CreateBucket([]byte(name))
			return err
		})
	}
	tests := map[string]struct {
		content []byte
		want    error
		says    string
	}{
		"a text":                   {[]byte(strings.Repeat("a text\n", 10_000)), ErrForeign, "not a bbolt file"},
		"a short text":             {[]byte("text"), ErrForeign, "not a bbolt file"},
		"zeros":                    {make([]byte, 1<<20), ErrForeign, "not a bbolt file"},
		"another program's file":   {bucketOnly("users"), ErrForeign, "another program"},
		"another program's format": {bucketOnly("format"), ErrForeign, "another program"},
		"another program's buckets": {boltFile(t, func(tx *bbolt.Tx) (err error) {
			for i := range 1000 {
				_, failed := tx.CreateBucket(fmt.Appendf(nil, "bucket %d", i))
				err = errors.Join(err, failed)
			}
			return err
		}), ErrForeign, "another program"},
		"an empty bbolt file":      {boltFile(t, func(*bbolt.Tx) error { return nil }), ErrForeign, "another program"},
		"an earlier version":       {formatted(t, versionKey, []byte{1}), ErrForeign, "format 1, and this version of the program knows only formats 2 and 3; use the version that wrote it"},
		"a later version":          {formatted(t, versionKey, []byte{4}), ErrForeign, "format 4, and"},
		"no version":               {formatted(t, versionKey, nil), ErrForeign, "format 0"},
		"another name":             {formatted(t, nameKey, []byte("name")), ErrForeign, "another program"},
		"nothing":                  {nil, ErrDamaged, "empty"},
		"half of a file":           {good[:len(good)/2], ErrDamaged, "cut"},
		"a file without its last":  {good[:len(good)-1], ErrDamaged, "cut"},
		"the metas only":           {good[:2*pageBytes], ErrDamaged, "cut"},
		"both checksums wrong":     {flipped(flipped(good, 16+50), pageBytes+16+50), ErrDamaged, "checksum"},
		"a small bucket changed":   {bytes.ReplaceAll(good, []byte(formatName), []byte(strings.ToUpper(formatName))), ErrDamaged, "checksum"},
		"something behind the end": {append(bytes.Clone(good), 1, 2, 3), nil, ""},
		"the file as it was":       {good, nil, ""},
		"a file with a foreign bucket": {boltFile(t, func(tx *bbolt.Tx) error {
			_, err := tx.CreateBucket([]byte("users"))
			return errors.Join(err, (&content{tx: tx}).create())
		}), ErrDamaged, "buckets"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			path := newPath(t)
			if err := os.WriteFile(path, test.content, 0o600); err != nil {
				t.Fatal(err)
			}
			s, err := Open(path, nil)
			if err == nil {
				defer s.Close()
			}
			if !errors.Is(err, test.want) {
				t.Fatalf("Open: %v; want %v", err, test.want)
			}
			if err == nil {
				return
			}
			advice := map[error]string{ErrDamaged: adviceDamaged, ErrForeign: adviceForeign}[test.want]
			for _, says := range []string{test.says, advice, path} {
				if !strings.Contains(err.Error(), says) {
					t.Errorf("Open: %v; want it to say %q", err, says)
				}
			}
			if now, err := os.ReadFile(path); err != nil || !bytes.Equal(now, test.content) {
				t.Errorf("the file was changed (%v)", err)
			}
			// Nobody is kept from it.
			if err := os.WriteFile(path, good, 0o600); err != nil {
				t.Fatal(err)
			}
			open(t, path, nil)
		})
	}
}

func flipped(content []byte, at int) []byte {
	content = bytes.Clone(content)
	content[at] ^= 0x10
	return content
}

// A tool of bbolt can leave a file without a list of free pages.
func TestOpen_NoFreelist(t *testing.T) {
	content, k := sample(t, 60)
	path := newPath(t)
	if err := os.WriteFile(path, content, 0o600); err != nil {
		t.Fatal(err)
	}
	db, err := bbolt.Open(path, 0o600, &bbolt.Options{NoFreelistSync: true})
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(db.Update(func(*bbolt.Tx) error { return nil }), db.Close()); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := Check(path); err != nil {
			t.Error(err)
		}
		s := open(t, path, nil)
		mustHold(t, s, k)
		for range 10 {
			mustAppend(t, s, k, "id 1", k.next("id 1", entryOf("data")))
		}
		mustHold(t, s, k)
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

func TestOpen_BadPaths(t *testing.T) {
	folder := t.TempDir()
	_, err := Open(filepath.Join(folder, "none", "histories.db"), nil)
	if !errors.Is(err, fs.ErrNotExist) || !strings.Contains(err.Error(), "create it first") {
		t.Errorf("Open in a folder that is not there: %v; want fs.ErrNotExist, and what to do", err)
	}
	if _, err := Open(folder, nil); err == nil {
		t.Error("a folder was opened")
	}
	dangling := filepath.Join(folder, "link")
	if err := os.Symlink(filepath.Join(folder, "gone"), dangling); err != nil {
		t.Skip(err)
	}
	if _, err := Open(dangling, nil); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("Open of a link to nothing: %v; want fs.ErrNotExist", err)
	}
	if files, err := os.ReadDir(folder); err != nil || len(files) != 1 {
		t.Errorf("the folder has %v, %v; want the link only", files, err)
	}
}

func TestOpen_ReadOnlyFile(t *testing.T) {
	if os.Getuid() == 0 {
		t.Skip("root may write any file")
	}
	path := newPath(t)
	if err := open(t, path, nil).Close(); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(path, 0o400); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(path, nil); !errors.Is(err, fs.ErrPermission) || !strings.Contains(err.Error(), "let this user write it") {
		t.Errorf("Open: %v; want fs.ErrPermission, and what to do", err)
	}
}

func TestOptions_Invalid(t *testing.T) {
	for name, options := range map[string]*Options{
		"MaxEntries": {MaxEntries: -2},
		"MaxBytes":   {MaxBytes: -100},
		"MaxAge":     {MaxAge: -time.Second},
	} {
		path := newPath(t)
		if _, err := Open(path, options); err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("Open with a bad %s: %v", name, err)
		}
		if _, err := os.Stat(path); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("a bad %s leaves a file (%v)", name, err)
		}
	}
	s := open(t, newPath(t), &Options{MaxEntries: -1, MaxBytes: -1, MaxAge: -1})
	k := model{}
	for range 20 {
		mustAppend(t, s, k, "id", k.next("id", entryOf("one"), entryOf("two")))
	}
	mustHold(t, s, k)
}

// A process that was killed between the write of a meta page and its sync leaves
// a transaction that the disk may not have.
func TestOpen_SyncsMeta(t *testing.T) {
	content, _ := sample(t, 5)
	path := newPath(t)
	if err := os.WriteFile(path, content, 0o600); err != nil {
		t.Fatal(err)
	}
	file, err := openFile(path)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	m, _, err := readMeta(file, int64(len(content)))
	if err != nil {
		t.Fatal(err)
	}
	recorded := &recordingDisk{disk: file}
	if err := rewriteMeta(recorded, &m); err != nil {
		t.Fatal(err)
	}
	if len(recorded.calls) != 2 || recorded.calls[1] != "sync" {
		t.Errorf("rewriting does %q; want a write and a sync", recorded.calls)
	}
	if now, err := os.ReadFile(path); err != nil || !bytes.Equal(now, content) {
		t.Errorf("rewriting changes the file (%v)", err)
	}
}

func TestAppend_TooLarge(t *testing.T) {
	s, k := open(t, newPath(t), nil), model{}
	long := strings.Repeat("x", maxIDBytes)
	mustAppend(t, s, k, long, k.next(long, replay.Entry{Data: []byte("data"), Key: strings.Repeat("k", 1<<20)}))
	mustHold(t, s, k)
	end := k.next(long, entryOf("the end"))
	end.Remove = true
	mustAppend(t, s, k, long, end)
	mustHold(t, s, k)

	long += "x"
	if err := s.Append(t.Context(), long, k.next(long, entryOf("data"))); !errors.Is(err, replay.ErrInvalidBatch) || !strings.Contains(err.Error(), "32768 bytes") {
		t.Errorf("an id of %d bytes: %v; want ErrInvalidBatch", len(long), err)
	}
	if _, err := s.Load(t.Context(), long, replay.Cursor{}); !errors.Is(err, replay.ErrNotFound) {
		t.Errorf("Load of an id of %d bytes: %v; want ErrNotFound", len(long), err)
	}
	huge := make([]byte, maxEntryBytes+1)
	batch := k.next("id", replay.Entry{Data: huge[1:]})
	if err := s.Append(t.Context(), "id", batch); !errors.Is(err, replay.ErrInvalidBatch) {
		t.Errorf("an entry of %d bytes: %v; want ErrInvalidBatch", maxEntryBytes, err)
	}
	batch = k.next("id", entryOf("data"))
	batch.Snapshot = huge
	if err := s.Append(t.Context(), "id", batch); !errors.Is(err, replay.ErrInvalidBatch) {
		t.Errorf("a snapshot of %d bytes: %v; want ErrInvalidBatch", len(batch.Snapshot), err)
	}
	batch = k.next("id", entryOf("data"))
	batch.Meta = huge
	if err := s.Append(t.Context(), "id", batch); !errors.Is(err, replay.ErrInvalidBatch) {
		t.Errorf("a meta of %d bytes: %v; want ErrInvalidBatch", len(batch.Meta), err)
	}
}

func TestIDs_ManyAndLong(t *testing.T) {
	s, k := open(t, newPath(t), nil), model{}
	var answers []<-chan answer
	for i := range 2*idsAtOnce + 110 {
		id := fmt.Sprint("id ", i)
		if i%20 == 0 && i < 2000 { // too long for one piece
			id = strings.Repeat("long", 5000) + fmt.Sprint(i)
		}
		batch := k.next(id, entryOf("data"))
		answers = append(answers, appendLater(t.Context(), s, id, batch))
		k.add(id, batch)
	}
	for _, answer := range answers {
		if got := <-answer; got.err != nil {
			t.Fatal(got.err)
		}
	}
	mustAppend(t, s, k, "", k.next("", entryOf("the empty id")))
	mustHold(t, s, k)

	// What is removed or added in the loop disturbs nothing.
	seen := make(map[string]bool)
	for id, err := range s.IDs(t.Context()) {
		if err != nil {
			t.Fatal(err)
		}
		if seen[id] {
			t.Fatalf("%.40q is yielded twice", id)
		}
		seen[id] = true
		if len(seen)%100 == 0 {
			batch := replay.Batch{Expect: k[id].head()}
			batch = numbered(batch, batch.Expect, []replay.Entry{entryOf("the end")})
			batch.Remove = true
			mustAppend(t, s, k, id, batch)
			other := fmt.Sprint("between ", len(seen))
			mustAppend(t, s, k, other, k.next(other, entryOf("data")))
		}
	}
	for id := range k {
		if !seen[id] && !strings.HasPrefix(id, "between") {
			t.Errorf("%.40q is not yielded", id)
		}
	}
}
