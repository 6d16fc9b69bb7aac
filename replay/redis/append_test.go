package redis

import (
	"errors"
	"fmt"
	"slices"
	"testing"

	goredis "github.com/redis/go-redis/v9"

	"github.com/safe-go/safe/internal/redistest"
	"github.com/safe-go/safe/replay"
)

// TestALostReplyIsNotAnAppendTwice cuts the connection after the server has
// done what it was asked, for each kind of batch.
func TestALostReplyIsNotAnAppendTwice(t *testing.T) {
	server := redistest.Start(t, nil)
	p := newProxy(t, server.Addr())
	for _, retries := range []int{-1, 3} { // those of the client
		s := open(t, p.client(t, func(o *goredis.Options) { o.MaxRetries = retries }), nil)
		t.Run(fmt.Sprint("MaxRetries ", retries), func(t *testing.T) {
			id := fmt.Sprint("id ", retries)
			lost := func(batch replay.Batch) replay.Cursor {
				t.Helper()
				p.loseReplies(1, "evalsha")
				head := put(t, s, id, batch)
				if p.left() != 0 {
					t.Fatal("no reply was lost")
				}
				return head
			}
			works(t, s) // so that the first call that is cut is an append
			head := lost(start(firstEpoch, "a", "b"))
			head = lost(next(head, "c"))
			batch := keyed(next(head, "d"), "key")
			batch.NewKeys = true
			head = lost(batch)
			if got := datas(t, s, id, firstEpoch); !slices.Equal(got, []string{"a", "b", "c", "d"}) {
				t.Fatalf("the history holds %q", got)
			}
			head = lost(numbered(head, replay.Cursor{Epoch: firstEpoch + 1}, "over", "and over"))
			if got := datas(t, s, id, firstEpoch+1); !slices.Equal(got, []string{"over", "and over"}) {
				t.Fatalf("the history holds %q after it has started over", got)
			}
			head = lost(removing(next(head, "the end")))
			conflict := conflictOf(t, s.Append(t.Context(), id, start(firstEpoch, "lost")))
			if conflict.Reason != replay.ConflictRemoved || conflict.Head != head {
				t.Errorf("the head is %s, removed %t; want %s, true", conflict.Head, conflict.Reason == replay.ConflictRemoved, head)
			}
			lost(removing(start(firstEpoch+2, "at once")))
			if _, err := s.Load(t.Context(), id); !errors.Is(err, replay.ErrNotFound) {
				t.Errorf("Load: %v; want ErrNotFound", err)
			}
		})
	}
}

func second[A, B any](_ A, b B) B { return b }

// sent is an append with a token of the test's, as often as it is sent.
func sent(t testing.TB, s *Store, id string, batch replay.Batch, token string) (code string) {
	t.Helper()
	k := s.naming.keys(id)
	answer, err := s.eval(t.Context(), &call{script: appendScript, keys: &k, args: s.appendArguments(&k, &batch, token)})
	if err != nil {
		t.Fatal(err)
	}
	return codeOf(answer)
}

// TestABatchIsRecognisedWhateverHappenedSince sends a batch again after others
// have gone on.
func TestABatchIsRecognisedWhateverHappenedSince(t *testing.T) {
	s := open(t, redistest.Start(t, nil).Client(), nil)
	first := start(firstEpoch, "a", "b")
	again := func(batch replay.Batch, token, want string) {
		t.Helper()
		if code := sent(t, s, "id", batch, token); code != want {
			t.Errorf("the batch at %s is answered with %s; want %s", batch.Last(), code, want)
		}
	}
	again(first, "1", codeCommitted)
	again(first, "1", codeCommitted)
	again(first, "2", codeMoved) // somebody else's
	head := put(t, s, "id", next(first.Last(), "c", "d"))
	again(first, "1", codeCommitted)
	again(first, "2", codeMoved)
	again(start(firstEpoch, "a"), "1", codeMoved) // the token is on the last entry
	over := numbered(head, replay.Cursor{Epoch: firstEpoch + 1}, "e")
	again(over, "3", codeCommitted)
	again(first, "1", codeCommitted)
	again(over, "3", codeCommitted)
	again(over, "1", codeMoved)
	if got := datas(t, s, "id", firstEpoch+1); !slices.Equal(got, []string{"e"}) {
		t.Errorf("the history holds %q", got)
	}

	end := removing(next(over.Last(), "f"))
	again(end, "4", codeCommitted)
	again(end, "4", codeCommitted)
	again(end, "5", codeMoved)
	fresh := start(firstEpoch+2, "g")
	again(fresh, "6", codeCommitted)
	again(end, "4", codeCommitted)
	again(end, "5", codeMoved)
	put(t, s, "id", removing(next(fresh.Last(), "h")))
	again(end, "4", codeMoved)
}

// A caller that tries again by itself uses another token: it must not be taken
// for the same.
func TestTwoAppendsAreTwo(t *testing.T) {
	s := open(t, redistest.Start(t, nil).Client(), nil)
	batch := start(firstEpoch, "a")
	put(t, s, "id", batch)
	conflict := conflictOf(t, s.Append(t.Context(), "id", batch))
	if conflict.Head != batch.Last() {
		t.Errorf("the head is %s; want %s", conflict.Head, batch.Last())
	}
}
