package replay_test

import (
	"errors"
	"testing"
	"time"

	"github.com/safe-go/safe/replay"
)

func TestCheck(t *testing.T) {
	head := replay.Head{Cursor: replay.Cursor{Epoch: 4, Revision: 9}, Oldest: 6}
	empty := replay.Head{Cursor: replay.Cursor{Epoch: 4, Revision: 9}, Oldest: 10}
	tests := []struct {
		head  replay.Head
		after replay.Cursor
		want  error
	}{
		{head, replay.Cursor{Epoch: 4, Revision: 9}, nil},
		{head, replay.Cursor{Epoch: 4, Revision: 5}, nil},
		{head, replay.Cursor{Epoch: 4, Revision: 4}, replay.ErrCursorTooOld},
		{head, replay.Cursor{Epoch: 4, Revision: 0}, replay.ErrCursorTooOld},
		{head, replay.Cursor{Epoch: 4, Revision: 10}, replay.ErrFutureCursor},
		{head, replay.Cursor{Epoch: 4, Revision: 1<<64 - 1}, replay.ErrFutureCursor},
		{head, replay.Cursor{Epoch: 3, Revision: 9}, replay.ErrUnknownEpoch},
		{head, replay.Cursor{Epoch: 5, Revision: 9}, replay.ErrUnknownEpoch},
		{head, replay.Cursor{}, replay.ErrUnknownEpoch},
		{empty, replay.Cursor{Epoch: 4, Revision: 9}, nil},
		{empty, replay.Cursor{Epoch: 4, Revision: 8}, replay.ErrCursorTooOld},
	}
	for _, test := range tests {
		err := test.head.Check("id", test.after)
		if !errors.Is(err, test.want) {
			t.Errorf("after %s of %s kept from %d: error %v; want %v", test.after, test.head.Cursor, test.head.Oldest, err, test.want)
		}
		if test.want == nil {
			continue
		}
		refusal, ok := errors.AsType[*replay.CursorError](err)
		if !ok {
			t.Fatalf("error %T; want a *CursorError", err)
		}
		want := replay.CursorError{ID: "id", Cursor: test.after, Head: test.head.Cursor, Oldest: test.head.Oldest, Reason: test.want}
		if *refusal != want {
			t.Errorf("got %+v; want %+v", *refusal, want)
		}
	}
}

func TestCanContinue(t *testing.T) {
	head := replay.Head{Cursor: replay.Cursor{Epoch: 4, Revision: 9}, SnapshotRevision: 6}
	for _, revision := range []uint64{0, 5, 6, 7, 9, 10, 1<<64 - 1} {
		for _, epoch := range []uint64{0, 3, 4, 5} {
			want := epoch == 4 && revision >= 6 && revision <= 9
			if have := (replay.Cursor{Epoch: epoch, Revision: revision}); head.CanContinue(have) != want {
				t.Errorf("from %s: %t; want %t", have, !want, want)
			}
		}
	}
}

func TestErrors(t *testing.T) {
	at := replay.Cursor{Epoch: 4, Revision: 9}
	tests := []struct {
		err  error
		want string
	}{
		{
			&replay.ConflictError{ID: "id", Reason: replay.ConflictMoved, Expected: replay.Cursor{Epoch: 4, Revision: 7}, Head: at},
			`the history has moved on: "id" is at 4-9, expected at 4-7`,
		},
		{
			&replay.ConflictError{ID: "id", Reason: replay.ConflictRemoved, Head: at},
			`the history has moved on: "id" was removed at 4-9, expected at 0-0`,
		},
		{
			&replay.ConflictError{ID: "id", Reason: replay.ConflictReplaced, Expected: at, Head: at},
			`the history has moved on: "id" is at 4-9, but was replaced or rolled back`,
		},
		{
			&replay.ConflictError{ID: "id", Reason: replay.ConflictKnownKeys, Expected: at, Head: at, Known: make([]replay.Entry, 2)},
			`the history has moved on: "id" has 2 of the entries' keys already`,
		},
		{
			&replay.ConflictError{ID: "id", Reason: replay.ConflictReserved, Expected: at, Head: at, ReservedFor: time.Second},
			`the history has moved on: another process has reserved the append after 4-9 of "id" for 1s`,
		},
		{
			&replay.CursorError{ID: "id", Cursor: replay.Cursor{Epoch: 4}, Head: at, Oldest: 6, Reason: replay.ErrCursorTooOld},
			`cursor too old: entries after it are no longer kept: 4-0 of "id", which is at 4-9 and kept from revision 6`,
		},
	}
	for _, test := range tests {
		if got := test.err.Error(); got != test.want {
			t.Errorf("got  %s\nwant %s", got, test.want)
		}
	}
}
