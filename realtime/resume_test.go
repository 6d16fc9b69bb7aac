package realtime

import (
	"testing"

	"github.com/safe-go/safe/replay"
)

func TestResume(t *testing.T) {
	head := replay.Cursor{Epoch: 7, Revision: 200}
	at := func(revision uint64) replay.Cursor { return replay.Cursor{Epoch: 7, Revision: revision} }
	for _, test := range []struct {
		name   string
		since  string
		window int
		count  uint64
		ok     bool
	}{
		{name: "nothing to resume", since: "", window: 100, ok: true},
		{name: "the head", since: "7-200", window: 100, ok: true},
		{name: "the head without a window", since: "7-200", window: 0, ok: true},
		{name: "one before", since: "7-199", window: 100, count: 1, ok: true},
		{name: "the edge of the window", since: "7-100", window: 100, count: 100, ok: true},
		{name: "beyond the window", since: "7-99", window: 100},
		{name: "no window", since: "7-199", window: 0},
		{name: "the future", since: "7-201", window: 100},
		{name: "an earlier epoch", since: "6-199", window: 100},
		{name: "a later epoch", since: "8-199", window: 100},
		{name: "before the first entry", since: "7-0", window: 1000},
		{name: "the first entry", since: "7-1", window: 1000, count: 199, ok: true},
		{name: "no cursor", since: "7", window: 100},
		{name: "leading zero", since: "7-0199", window: 100},
		{name: "largest", since: "7-18446744073709551615", window: 100},
	} {
		t.Run(test.name, func(t *testing.T) {
			r := resume(head, test.since, test.window)
			if r.count != test.count || (r.problem == "") != test.ok {
				t.Errorf("got %+v", r)
			}
			if r.count > 0 && r.from != at(200-r.count) {
				t.Errorf("from %v", r.from)
			}
		})
	}
}
