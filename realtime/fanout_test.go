package realtime

import (
	"encoding/json"
	"testing"

	"github.com/safe-go/safe/sharedata"
)

// A transaction costs two allocations, its frame and the text of that, however many
// subscribers are sent it.
func TestFanOut_Allocations(t *testing.T) {
	most := 2.0
	if raceEnabled {
		most++
	}
	for _, subscribers := range []int{1, 10, 1000} {
		b := newChannelFixture(t)
		var all []*subscription
		for range subscribers {
			sub := b.subscription("")
			sub.begin(page{}, "")
			all = append(all, sub)
		}
		event := sharedata.Event{Entry: sharedata.Entry{ShareDataID: "c", Type: sharedata.EntryTransaction, Accepted: true}, State: json.RawMessage(`{"a":1}`)}
		events := []sharedata.Event{event}
		frames := make([]*frame, 0, 4)
		transaction := func() {
			b.head = b.head.Next()
			events[0].Cursor = b.head
			b.channel.Observe(events)
			for _, sub := range all {
				if c, _ := sub.session.out.next(frames); len(c.frames) == 0 {
					t.Fatal("nothing was sent")
				}
				sub.session.out.next(frames) // nothing more: the writer stops
			}
		}
		transaction() // and the states
		if n := testing.AllocsPerRun(20, transaction); n > most {
			t.Errorf("%d subscribers: %v allocations", subscribers, n)
		}
	}
}
