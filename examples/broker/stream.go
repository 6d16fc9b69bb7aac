package main

import (
	"fmt"
	"maps"
	"net/http"
	"slices"

	"github.com/safe-go/safe/realtime"
	"github.com/safe-go/safe/schemas/codes"
	"github.com/safe-go/safe/sharedata"
)

// stream serves GET /events: the latest events, then each when it is published. A client
// that comes back with the id of the last event it has seen is sent what it missed.
func (b *broker) stream(w http.ResponseWriter, r *http.Request) {
	b.realtime.ServeEventStream(w, r, &realtime.SessionOptions{Protocol: protocol},
		realtime.Subscription{ShareDataID: latestID, Since: realtime.LastEventID(r)})
}

// protocol writes server-sent events (HTML Standard, section 9.2).
var protocol = &realtime.Protocol{Encode: encode}

// gapName is the name of the event that notifies a client of a gap. Users cannot insert
// events of this name.
const gapName = "broker-gap"

const gapEvent = "event: " + gapName + "\ndata: \"events that were published meanwhile may be missing; the latest of each name are above\"\n\n"

func encode(dst []byte, m *realtime.Message) []byte {
	switch {
	case m.Type == realtime.MessageState && !m.Resumed: // otherwise what was missed follows
		latest, err := sharedata.Decode[map[string]event](m.State)
		if err != nil {
			panic(err) // "latest" has only what publish has put there; ends the stream and is logged
		}
		dst = appendEvents(dst, m, slices.SortedFunc(maps.Values(latest), compareEvents)...)
	case m.Type == realtime.MessageTransaction && m.Entry.Accepted: // otherwise there was no room for the event
		e, err := sharedata.Decode[event](m.Entry.Data)
		if err != nil {
			panic(err)
		}
		dst = appendEvents(dst, m, e)
	case m.Type == realtime.MessageError && m.Code == codes.ReplayCursorNotFound:
		dst = append(dst, gapEvent...)
	}
	return dst
}

// appendEvents appends events: the name of each, and its data as one line of JSON. Only the
// last one has an id, which is the position in the history of "latest": a client that is cut
// off before it is sent all of them again.
func appendEvents(dst []byte, m *realtime.Message, events ...event) []byte {
	for i, e := range events {
		if i > 0 {
			dst = append(dst, '\n')
		}
		dst = fmt.Appendf(dst, "event: %s\ndata: %s\n", e.Event, e.Data)
	}
	return fmt.Appendf(dst, "id: %s\n\n", m.Cursor)
}
