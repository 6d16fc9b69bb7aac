package replay_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/safe-go/safe/replay"
)

func TestValidateSaysWhatIsWrongWithABatch(t *testing.T) {
	entry := func(epoch, revision uint64) replay.Entry {
		return replay.Entry{Cursor: replay.Cursor{Epoch: epoch, Revision: revision}}
	}
	tests := []struct {
		name  string
		batch replay.Batch
		want  string // in the message; empty if the batch is valid
	}{
		{"a start", replay.Batch{Entries: []replay.Entry{entry(4, 1), entry(4, 2)}}, ""},
		{"a batch that follows", replay.Batch{Expect: replay.Cursor{Epoch: 4, Revision: 7}, Entries: []replay.Entry{entry(4, 8)}}, ""},
		{"nothing", replay.Batch{}, "no entries"},
		{"epoch 0", replay.Batch{Entries: []replay.Entry{entry(0, 1)}}, "epoch 0"},
		{"a start at 2", replay.Batch{Entries: []replay.Entry{entry(4, 2)}}, "entry 0 is numbered 4-2 instead of 4-1"},
		{"a hole", replay.Batch{Entries: []replay.Entry{entry(4, 1), entry(4, 3)}}, "entry 1 is numbered 4-3 instead of 4-2"},
		{"another epoch", replay.Batch{Expect: replay.Cursor{Epoch: 4, Revision: 7}, Entries: []replay.Entry{entry(5, 8)}}, "numbered 5-8 instead of 5-1"},
		{"an earlier epoch", replay.Batch{Expect: replay.Cursor{Epoch: 4, Revision: 7}, Entries: []replay.Entry{entry(3, 1)}}, "numbered 3-1 instead of 4-8"},
		{"the same epoch from its start", replay.Batch{Expect: replay.Cursor{Epoch: 4, Revision: 7}, Entries: []replay.Entry{entry(4, 1)}}, "numbered 4-1 instead of 4-8"},
		{"a start over", replay.Batch{Expect: replay.Cursor{Epoch: 4, Revision: 7}, Entries: []replay.Entry{entry(5, 1), entry(5, 2)}}, ""},
		{"a start over with a hole", replay.Batch{Expect: replay.Cursor{Epoch: 4, Revision: 7}, Entries: []replay.Entry{entry(5, 1), entry(5, 3)}}, "entry 1 is numbered 5-3 instead of 5-2"},
		{"a start over in two epochs", replay.Batch{Expect: replay.Cursor{Epoch: 4, Revision: 7}, Entries: []replay.Entry{entry(5, 1), entry(6, 2)}}, "entry 1 is numbered 6-2 instead of 5-2"},
		{"a start over where no revision is left", replay.Batch{Expect: replay.Cursor{Epoch: 4, Revision: 1<<64 - 1}, Entries: []replay.Entry{entry(5, 1)}}, ""},
		{"nothing to follow", replay.Batch{Expect: replay.Cursor{Epoch: 4, Revision: 7}}, "no entries"},
		{"demands", replay.Batch{ExpectMeta: []byte("x"), NewKeys: true, Entries: []replay.Entry{entry(4, 1)}}, ""},
		{"no revision left", replay.Batch{Expect: replay.Cursor{Epoch: 4, Revision: 1<<64 - 1}, Entries: []replay.Entry{entry(4, 0)}}, "no revision is left"},
	}
	for _, test := range tests {
		err := test.batch.Validate()
		if test.want == "" {
			if err != nil {
				t.Errorf("%s: %v", test.name, err)
			}
			continue
		}
		if !errors.Is(err, replay.ErrInvalidBatch) || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: error %v; want an ErrInvalidBatch with %q", test.name, err, test.want)
		}
	}
}

func TestCheckContinuesACursorOrSaysWhyNot(t *testing.T) {
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

func TestErrorsNameTheHistoryAndBothPositions(t *testing.T) {
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
			`the history has moved on: "id" is at 4-9, but it is another history than the expected one`,
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

func TestStartsIsSoWhereTheEpochIsNotTheExpectedOne(t *testing.T) {
	expect := replay.Cursor{Epoch: 4, Revision: 7}
	first := func(cursor replay.Cursor) []replay.Entry { return []replay.Entry{{Cursor: cursor}} }
	tests := []struct {
		name  string
		batch replay.Batch
		want  bool
	}{
		{"a start", replay.Batch{Entries: first(replay.Cursor{Epoch: 4, Revision: 1})}, true},
		{"a start without entries", replay.Batch{}, true},
		{"a batch that follows", replay.Batch{Expect: expect, Entries: first(expect.Next())}, false},
		{"a start over", replay.Batch{Expect: expect, Entries: first(replay.Cursor{Epoch: 5, Revision: 1})}, true},
		{"an earlier epoch", replay.Batch{Expect: expect, Entries: first(replay.Cursor{Epoch: 3, Revision: 1})}, false},
		{"nothing to follow", replay.Batch{Expect: expect}, false},
		{"the largest epochs", replay.Batch{
			Expect:  replay.Cursor{Epoch: 1<<64 - 2, Revision: 7},
			Entries: first(replay.Cursor{Epoch: 1<<64 - 1, Revision: 1}),
		}, true},
	}
	for _, test := range tests {
		if got := test.batch.Starts(); got != test.want {
			t.Errorf("%s: %t; want %t", test.name, got, test.want)
		}
	}
}

func TestLastIsTheHeadAfterABatch(t *testing.T) {
	if last := (replay.Batch{}).Last(); !last.IsZero() {
		t.Errorf("the last position of no entries is %s", last)
	}
	want := replay.Cursor{Epoch: 4, Revision: 2}
	batch := replay.Batch{Entries: []replay.Entry{{Cursor: replay.Cursor{Epoch: 4, Revision: 1}}, {Cursor: want}}}
	if last := batch.Last(); last != want {
		t.Errorf("the last position is %s; want %s", last, want)
	}
}
