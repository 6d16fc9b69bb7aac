package redis

import (
	"crypto/sha1"
	_ "embed"
	"encoding/hex"
	"errors"
	"fmt"

	"github.com/safe-go/safe/replay"
)

// Everything that is done to a history is done by these scripts, each in one
// atomic step.
var (
	//go:embed scripts/history.lua
	historySource string
	//go:embed scripts/entries.lua
	entriesSource string
	//go:embed scripts/missing.lua
	missingSource string
	//go:embed scripts/reservation.lua
	reservationSource string
	//go:embed scripts/append.lua
	appendSource string
	//go:embed scripts/load.lua
	loadSource string
	//go:embed scripts/read.lua
	readSource string
	//go:embed scripts/find.lua
	findSource string
)

var (
	appendScript = newScript(historySource + entriesSource + reservationSource + appendSource)
	loadScript   = newScript(historySource + missingSource + loadSource)
	readScript   = newScript(historySource + entriesSource + missingSource + readSource)
	findScript   = newScript(historySource + entriesSource + findSource)
)

// script is a script and the name by which a server knows it once it was sent.
type script struct {
	source string
	hash   string
}

func newScript(source string) *script {
	sum := sha1.Sum([]byte(source))
	return &script{source: source, hash: hex.EncodeToString(sum[:])}
}

// call is a script with its keys and arguments.
type call struct {
	script *script
	keys   *keys
	args   []any
	size   int // in bytes, if it may be large
	// broken is why the connection broke before the reply to the first sending.
	broken error
	// server is set by Store.eval: the owner of the keys, as far as is known.
	server *server
}

// repeat prepares the call to be sent again. append.lua must know: a refusal may come
// from what followed the batch.
func (c *call) repeat(broken error) {
	c.broken = broken
	if c.script == appendScript {
		c.args[flagsArgument] = c.args[flagsArgument].(string) + repeatedFlag
	}
}

// byHash and bySource are the call as commands. A server that does not know the
// script is sent its source.
func (c *call) byHash() []any   { return c.command("evalsha", c.script.hash) }
func (c *call) bySource() []any { return c.command("eval", c.script.source) }

func (c *call) command(name, script string) []any {
	names := c.keys.names()
	command := make([]any, 0, 3+len(names)+len(c.args))
	command = append(command, name, script, len(names))
	for _, name := range names {
		command = append(command, name)
	}
	return append(command, c.args...)
}

// The scripts reply with lists that begin with one of these.
const (
	codeAt        = "at"        // head, length, …
	codeRemoved   = "removed"   // there is no history
	codeMissing   = "missing"   // followers that were notified, id of the server's run
	codeDamaged   = "damaged"   // reason
	codeCommitted = "committed" // head
	codeMoved     = "moved"     // head, removed, entries that were missed
	codeReplaced  = "replaced"  //
	codeKnown     = "known"     // how many are left out, entries
	codeReserved  = "reserved"  // for how many milliseconds more
	codeUnknown   = "unknown"   // whether a batch that was sent again was committed before
)

// reply reads what a script returned, item by item. After the first item that is
// not what it should be, err says so and the rest reads as zero values.
type reply struct {
	items []any
	err   error
}

var errReply = errors.New("a script's reply is not understood")

// codeOf returns the code that a reply begins with.
func codeOf(result any) string {
	items, _ := result.([]any)
	if len(items) == 0 {
		return ""
	}
	code, _ := items[0].(string)
	return code
}

// afterCode reads what follows the code.
func afterCode(result any) *reply {
	items, _ := result.([]any)
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

// cursor reads the position of an entry, and an empty text as the zero Cursor.
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
		switch {
		case entries[i].Cursor.IsZero():
			in.fail("an entry has no position")
		case len(parts) == 1:
			in.fail("the entry " + entries[i].Cursor.String() + " was not written by this package")
		}
		entries[i].Data, entries[i].Key = in.bytes(), in.text()
		if in.err != nil {
			r.fail(in.err.Error())
			return nil
		}
	}
	return entries
}

// head reads what the reply for an existing history begins with.
func (r *reply) head() (head replay.Head) {
	head.Cursor = r.cursor()
	// What is left of earlier epochs is in the stream too, before this one.
	kept := min(uint64(max(r.number(), 0)), head.Cursor.Revision)
	head.Oldest = head.Cursor.Revision - kept + 1
	if head.Cursor.IsZero() {
		r.fail("the head has no position")
	}
	return head
}

// snapshot reads the position of the newest snapshot, in the epoch of the head, and
// the snapshot if it was not left out.
func (r *reply) snapshot(head *replay.Head) {
	text := r.text()
	at, err := replay.ParseCursor(text)
	if err != nil || at.Epoch != head.Cursor.Epoch || at.Revision > head.Cursor.Revision {
		r.fail(fmt.Sprintf("%.60q is no position of a snapshot of a history at %s", text, head.Cursor))
	}
	head.SnapshotRevision, head.Snapshot = at.Revision, r.bytes()
}

// headOf reads what most replies begin with.
func headOf(id string, result any) (head replay.Head, r *reply, err error) {
	r = afterCode(result)
	switch codeOf(result) {
	case codeRemoved:
		return head, nil, replay.ErrNotFound
	case codeDamaged:
		return head, nil, damaged(id, r.text())
	case codeAt:
		head = r.head()
	default:
		r.fail("its code is unknown")
	}
	if r.err != nil {
		return head, nil, damaged(id, r.err.Error())
	}
	return head, r, nil
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
