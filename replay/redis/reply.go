package redis

import (
	"errors"
	"fmt"

	"github.com/safe-go/safe/replay"
)

// The scripts answer with lists that begin with one of these.
const (
	codeAt        = "at"        // head, length, …
	codeRemoved   = "removed"   // there is no history
	codeMissing   = "missing"   // followers that were notified, id of the server's run
	codeDamaged   = "damaged"   // reason
	codeCommitted = "committed" // head, length, what went wrong with the announcement
	codeMoved     = "moved"     // head, removed, length, entries that were missed
	codeReplaced  = "replaced"  //
	codeKnown     = "known"     // how many are left out, entries
	codeClaimed   = "claimed"   // for how many milliseconds more
)

// reply reads the answer of a script, item by item. After the first item that
// is not what it should be, err says so and the rest reads as nothing.
type reply struct {
	items []any
	err   error
}

var errReply = errors.New("a script's answer is not understood")

// codeOf is the code of an answer.
func codeOf(answer any) string {
	items, _ := answer.([]any)
	if len(items) == 0 {
		return ""
	}
	code, _ := items[0].(string)
	return code
}

// body is what follows the code.
func body(answer any) *reply {
	items, _ := answer.([]any)
	if len(items) == 0 {
		return &reply{err: errReply}
	}
	return &reply{items: items[1:]}
}

func (r *reply) next() any {
	if len(r.items) == 0 {
		r.fail("it is too short")
		return nil
	}
	item := r.items[0]
	r.items = r.items[1:]
	return item
}

func (r *reply) fail(reason string) {
	if r.err == nil {
		r.err = fmt.Errorf("%w: %s", errReply, reason)
	}
}

// text reads a text, and nil as an empty one.
func (r *reply) text() string {
	switch item := r.next().(type) {
	case string:
		return item
	case nil:
	default:
		r.fail(fmt.Sprintf("a %T instead of a text", item))
	}
	return ""
}

// bytes reads a text as bytes, and an empty one as nil.
func (r *reply) bytes() []byte {
	if text := r.text(); text != "" {
		return []byte(text)
	}
	return nil
}

func (r *reply) number() int64 {
	number, ok := r.next().(int64)
	if !ok {
		r.fail("no number where there should be one")
	}
	return number
}

// cursor reads the position of an entry, and an empty text as none.
func (r *reply) cursor() (cursor replay.Cursor) {
	text := r.text()
	if text == "" {
		return cursor
	}
	cursor, err := replay.ParseCursor(text)
	if err != nil || cursor.Epoch == 0 || cursor.Revision == 0 {
		r.fail(fmt.Sprintf("%.60q is no position of an entry", text))
	}
	return cursor
}

// entries reads a list of entries.
func (r *reply) entries() []replay.Entry {
	items, ok := r.next().([]any)
	if !ok {
		r.fail("no entries where there should be some")
		return nil
	}
	if len(items) == 0 {
		return nil
	}
	entries := make([]replay.Entry, len(items))
	for i, item := range items {
		parts, _ := item.([]any)
		in := &reply{items: parts}
		entries[i].Cursor = in.cursor()
		if len(parts) == 1 {
			in.fail("the entry " + entries[i].Cursor.String() + " is not one of the store's")
		}
		entries[i].Data, entries[i].Key, entries[i].State = in.bytes(), in.text(), in.bytes()
		if in.err != nil {
			r.fail(in.err.Error())
			return nil
		}
	}
	return entries
}

// continues reports whether the entries follow the cursor without holes.
func continues(after replay.Cursor, entries []replay.Entry) bool {
	for i := range entries {
		after = after.Next()
		if entries[i].Cursor != after {
			return false
		}
	}
	return true
}

// oldest is the oldest revision of the head's epoch that is kept, of a stream of
// that length. What is left of earlier epochs comes before it, and is trimmed
// before anything of it.
func oldest(head replay.Cursor, length int64) uint64 {
	return head.Revision - min(uint64(max(length, 0)), head.Revision) + 1
}
