package redis

import (
	"errors"
	"io"
	"testing"

	"github.com/safe-go/safe/internal/redistest"
	"github.com/safe-go/safe/replay"
)

// The reply to an append is lost, and before it is sent again another process changes
// the history. Where the history still shows that the batch was committed, the append
// succeeds. Where it does not, the batch must not be reported as refused: its caller would
// append the same change again.
func TestAppend_InDoubt(t *testing.T) {
	server := redistest.Start(t, nil)
	direct := server.Client()
	p := newProxy(t, server.Addr())
	s := open(t, p.patientClient(t), &Options{Timeout: patience})
	other := open(t, direct, &Options{MaxEntries: 1})
	put(t, s, "id", start(firstEpoch, "a")) // so that the server knows the script

	// A history is at the third entry of the first epoch, unless the batch begins one.
	append3, begin, remove := next(at(3), "d"), start(firstEpoch, "a"), removing(next(at(3), "d"))
	restart := numbered(at(3), replay.Cursor{Epoch: firstEpoch + 1}, "d")
	trim := func(t *testing.T, id string, head replay.Cursor) {
		put(t, other, id, withSnapshot(next(head, make([]string, slack+10)...)))
	}
	end := func(t *testing.T, id string, head replay.Cursor) {
		put(t, other, id, removing(next(head, "end")))
	}
	for name, test := range map[string]struct {
		batch     replay.Batch
		meanwhile func(t *testing.T, id string)
		committed bool
	}{
		"continued":           {append3, func(t *testing.T, id string) { put(t, other, id, next(at(4), "e")) }, true},
		"begun and continued": {begin, func(t *testing.T, id string) { put(t, other, id, next(at(1), "b")) }, true},
		"restarted": {append3, func(t *testing.T, id string) {
			put(t, other, id, numbered(at(4), replay.Cursor{Epoch: firstEpoch + 1}, "e"))
		}, true},
		"restart trimmed":          {restart, func(t *testing.T, id string) { trim(t, id, restart.Last()) }, false},
		"trimmed":                  {append3, func(t *testing.T, id string) { trim(t, id, at(4)) }, false},
		"removed":                  {append3, func(t *testing.T, id string) { end(t, id, at(4)) }, false},
		"begun and removed":        {begin, func(t *testing.T, id string) { end(t, id, at(1)) }, false},
		"removed and begun again":  {append3, func(t *testing.T, id string) { end(t, id, at(4)); put(t, other, id, start(firstEpoch+1, "a")) }, false},
		"begun, removed and again": {begin, func(t *testing.T, id string) { end(t, id, at(1)); put(t, other, id, start(firstEpoch+1, "a")) }, false},
		"removal, then begun":      {remove, func(t *testing.T, id string) { put(t, other, id, start(firstEpoch+1, "a")) }, true},
		"removal, then removed again": {remove, func(t *testing.T, id string) {
			end(t, id, put(t, other, id, start(firstEpoch+1, "a")))
		}, false},
		"lost": {append3, func(t *testing.T, id string) {
			k := s.naming.keys(id)
			names := k.names()
			if err := direct.Del(t.Context(), names[:]...).Err(); err != nil {
				t.Fatal(err)
			}
		}, false},
	} {
		t.Run(name, func(t *testing.T) {
			if !test.batch.Expect.IsZero() {
				put(t, other, name, start(firstEpoch, "a", "b", "c"))
			}
			err := p.loseReplyAfter(t, "evalsha", func() { test.meanwhile(t, name) }, func() error {
				return s.Append(t.Context(), name, test.batch)
			})
			switch {
			case test.committed && err != nil:
				t.Errorf("Append: %v; want it to be recognised", err)
			case !test.committed && (!errors.Is(err, replay.ErrUnavailable) || !errors.Is(err, io.EOF) || errors.Is(err, replay.ErrConflict)):
				t.Errorf("Append: %v; want ErrUnavailable, and why the connection broke", err)
			}
			works(t, s)
		})
	}
}

// A batch that is sent again, and of which the history shows that it was not committed, is
// refused like any other.
func TestAppend_RefusedAgain(t *testing.T) {
	client := redistest.Start(t, nil).Client()
	s, other := open(t, client, nil), open(t, client, nil)
	restart := numbered(at(3), replay.Cursor{Epoch: firstEpoch + 1}, "d")
	for name, test := range map[string]struct {
		before []replay.Batch // what others appended to a history of three entries
		batch  replay.Batch
		want   string
	}{
		"another batch there":          {[]replay.Batch{next(at(3), "x")}, next(at(3), "d"), codeMoved},
		"not so far":                   {[]replay.Batch{next(at(3), "x")}, next(at(3), "d", "e"), codeMoved},
		"restarted before it":          {[]replay.Batch{restart}, next(at(3), "d"), codeMoved},
		"another restart":              {[]replay.Batch{next(at(3), "x")}, restart, codeMoved},
		"removed there":                {[]replay.Batch{removing(next(at(3), "x"))}, next(at(3), "d"), codeMoved},
		"removed before it":            {[]replay.Batch{removing(next(at(3), "x"))}, next(at(3), "d", "e"), codeMoved},
		"removed there, begun again":   {[]replay.Batch{removing(next(at(3), "x")), start(firstEpoch+1, "a")}, next(at(3), "d"), codeMoved},
		"removed after it":             {[]replay.Batch{removing(next(at(3), "x", "y"))}, next(at(3), "d"), codeUnknown},
		"removed after it, then begun": {[]replay.Batch{removing(next(at(3), "x", "y")), start(firstEpoch+1, "a")}, next(at(3), "d"), codeUnknown},
		// An earlier sending may arrive after the history was removed.
		"begun by another":             {nil, start(firstEpoch+1, "a"), codeUnknown},
		"begun and removed by another": {[]replay.Batch{removing(next(at(3), "x"))}, start(firstEpoch, "a"), codeUnknown},
		"at the head":                  {nil, next(at(3), "d"), codeCommitted},
		"known key":                    {[]replay.Batch{keyed(next(at(3), "x"), "key")}, newKeys(keyed(next(at(4), "d"), "key")), codeKnown},
	} {
		put(t, other, name, start(firstEpoch, "a", "b", "c"))
		for _, batch := range test.before {
			put(t, other, name, batch)
		}
		if code := sentAgain(t, s, name, test.batch, "token"); code != test.want {
			t.Errorf("%s: the reply is %s; want %s", name, code, test.want)
		}
	}

	// An earlier sending may arrive after the reservation of another store.
	head := put(t, s, "reserved", start(firstEpoch, "a"))
	lost := next(replay.Cursor{Epoch: firstEpoch, Revision: 7}, "x")
	lost.Reserve = maxReservation
	conflictOf(t, other.Append(t.Context(), "reserved", lost))
	if code := sent(t, s, "reserved", next(head, "b"), "1"); code != codeReserved {
		t.Errorf("reserved: the reply is %s; want %s", code, codeReserved)
	}
	if code := sentAgain(t, s, "reserved", next(head, "b"), "1"); code != codeUnknown {
		t.Errorf("reserved: the reply is %s; want %s", code, codeUnknown)
	}
}

func newKeys(batch replay.Batch) replay.Batch {
	batch.NewKeys = true
	return batch
}

// sentAgain is sent for a batch whose first sending got no reply.
func sentAgain(t testing.TB, s *Store, id string, batch replay.Batch, token string) (code string) {
	t.Helper()
	k := s.naming.keys(id)
	c := &call{script: appendScript, keys: &k, args: s.appendArguments(&k, &batch, token)}
	c.repeat(io.EOF)
	return replied(t, s, c)
}
