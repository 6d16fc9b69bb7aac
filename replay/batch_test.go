package replay_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/safe-go/safe/replay"
)

func TestValidate(t *testing.T) {
	entry := func(epoch, revision uint64) replay.Entry {
		return replay.Entry{Cursor: replay.Cursor{Epoch: epoch, Revision: revision}}
	}
	state := []byte("state")
	tests := []struct {
		name  string
		batch replay.Batch
		want  string // in the message; empty if the batch is valid
	}{
		{"a start", replay.Batch{Entries: []replay.Entry{entry(4, 1), entry(4, 2)}, Snapshot: state}, ""},
		{"a start without a snapshot", replay.Batch{Entries: []replay.Entry{entry(4, 1)}}, "starts the history in epoch 4 without a Snapshot"},
		{"a start with an empty snapshot", replay.Batch{Entries: []replay.Entry{entry(4, 1)}, Snapshot: []byte{}}, "without a Snapshot"},
		{"a start that removes", replay.Batch{Entries: []replay.Entry{entry(4, 1)}, Remove: true}, ""},
		{"a batch that follows", replay.Batch{Expect: replay.Cursor{Epoch: 4, Revision: 7}, Entries: []replay.Entry{entry(4, 8)}}, ""},
		{"nothing", replay.Batch{}, "no entries"},
		{"epoch 0", replay.Batch{Entries: []replay.Entry{entry(0, 1)}}, "epoch 0"},
		{"a start at 2", replay.Batch{Entries: []replay.Entry{entry(4, 2)}}, "entry 0 is numbered 4-2 instead of 4-1"},
		{"a hole", replay.Batch{Entries: []replay.Entry{entry(4, 1), entry(4, 3)}}, "entry 1 is numbered 4-3 instead of 4-2"},
		{"another epoch", replay.Batch{Expect: replay.Cursor{Epoch: 4, Revision: 7}, Entries: []replay.Entry{entry(5, 8)}}, "numbered 5-8 instead of 5-1"},
		{"an earlier epoch", replay.Batch{Expect: replay.Cursor{Epoch: 4, Revision: 7}, Entries: []replay.Entry{entry(3, 1)}}, "numbered 3-1 instead of 4-8"},
		{"the same epoch from its start", replay.Batch{Expect: replay.Cursor{Epoch: 4, Revision: 7}, Entries: []replay.Entry{entry(4, 1)}}, "numbered 4-1 instead of 4-8"},
		{"a restart", replay.Batch{Expect: replay.Cursor{Epoch: 4, Revision: 7}, Entries: []replay.Entry{entry(5, 1), entry(5, 2)}, Snapshot: state}, ""},
		{"a restart without a snapshot", replay.Batch{Expect: replay.Cursor{Epoch: 4, Revision: 7}, Entries: []replay.Entry{entry(5, 1)}}, "starts the history in epoch 5 without a Snapshot"},
		{"a restart that removes", replay.Batch{Expect: replay.Cursor{Epoch: 4, Revision: 7}, Entries: []replay.Entry{entry(5, 1)}, Remove: true}, ""},
		{"a restart with a hole", replay.Batch{Expect: replay.Cursor{Epoch: 4, Revision: 7}, Entries: []replay.Entry{entry(5, 1), entry(5, 3)}}, "entry 1 is numbered 5-3 instead of 5-2"},
		{"a restart in two epochs", replay.Batch{Expect: replay.Cursor{Epoch: 4, Revision: 7}, Entries: []replay.Entry{entry(5, 1), entry(6, 2)}}, "entry 1 is numbered 6-2 instead of 5-2"},
		{"a restart where no revision is left", replay.Batch{Expect: replay.Cursor{Epoch: 4, Revision: 1<<64 - 1}, Entries: []replay.Entry{entry(5, 1)}, Snapshot: state}, ""},
		{"nothing to follow", replay.Batch{Expect: replay.Cursor{Epoch: 4, Revision: 7}}, "no entries"},
		{"conditions", replay.Batch{ExpectMeta: []byte("x"), NewKeys: true, Entries: []replay.Entry{entry(4, 1)}, Snapshot: state}, ""},
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

func TestStarts(t *testing.T) {
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
		{"a restart", replay.Batch{Expect: expect, Entries: first(replay.Cursor{Epoch: 5, Revision: 1})}, true},
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

func TestLast(t *testing.T) {
	if last := (replay.Batch{}).Last(); !last.IsZero() {
		t.Errorf("the last position of no entries is %s", last)
	}
	want := replay.Cursor{Epoch: 4, Revision: 2}
	batch := replay.Batch{Entries: []replay.Entry{{Cursor: replay.Cursor{Epoch: 4, Revision: 1}}, {Cursor: want}}}
	if last := batch.Last(); last != want {
		t.Errorf("the last position is %s; want %s", last, want)
	}
}
