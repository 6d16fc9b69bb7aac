package bolt

import (
	"fmt"
	"strings"
	"testing"

	"github.com/safe-go/safe/replay"
)

func TestIDsInPieces(t *testing.T) {
	s, k := open(t, newPath(t), nil), known{}
	for i := range 2*idsAtOnce + 10 {
		id := fmt.Sprint("id ", i)
		mustAppend(t, s, k, id, k.next(id, entryOf("data")))
	}
	for i := range 100 { // too long for one piece
		id := strings.Repeat("long", 5000) + fmt.Sprint(i)
		mustAppend(t, s, k, id, k.next(id, entryOf("data")))
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
