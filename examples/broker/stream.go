package main

import (
	"cmp"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"slices"

	"github.com/safe-go/safe/realtime"
	"github.com/safe-go/safe/replay"
	"github.com/safe-go/safe/schemas/codes"
	"github.com/safe-go/safe/sharedata"
)

// stream serves GET /events: the latest events, then each when it is published. A client
// that comes back with the id of the last event it has seen is sent what it missed.
func (b *broker) stream(w http.ResponseWriter, r *http.Request) {
	b.realtime.ServeEventStream(w, r, &realtime.SessionOptions{Protocol: protocol},
		realtime.Subscription{ShareDataID: latestID, Since: realtime.LastEventID(r)})
}

// protocol writes each event as one of server-sent events (HTML Standard, section 9.2): its
// name, and its data as one line of JSON. The id is the position in the history of "latest".
var protocol = &realtime.Protocol{Encode: encode}

func encode(dst []byte, m *realtime.Message) []byte {
	switch m.Type {
	case realtime.MessageState:
		if m.Resumed {
			return dst // what was missed follows
		}
		return appendLatest(dst, m)
	case realtime.MessageTransaction:
		var e event
		if !m.Entry.Accepted || json.Unmarshal(m.Entry.Data, &e) != nil {
			return dst // of an event that was cancelled
		}
		return appendID(appendEvent(dst, e), m.Cursor)
	case realtime.MessageError:
		if m.Code == codes.ReplayCursorNotFound {
			return append(dst, "event: broker-gap\ndata: \"events that were published meanwhile may be missing; the latest of each name are above\"\n\n"...)
		}
	}
	return dst
}

// appendLatest appends all latest events. Only the last one has an id: a client that is cut
// off before it is sent all of them again.
func appendLatest(dst []byte, m *realtime.Message) []byte {
	latest, err := sharedata.Decode[map[string]event](m.State)
	if err != nil {
		panic(err) // "latest" has only what publish has put there; ends the stream and is logged
	}
	sorted := slices.SortedFunc(maps.Values(latest), func(a, b event) int {
		return cmp.Or(cmp.Compare(a.Timestamp, b.Timestamp), cmp.Compare(a.Event, b.Event))
	})
	for i, e := range sorted {
		if i > 0 {
			dst = append(dst, '\n')
		}
		dst = appendEvent(dst, e)
	}
	return appendID(dst, m.Cursor)
}

// appendEvent appends an event without its end.
func appendEvent(dst []byte, e event) []byte {
	return fmt.Appendf(dst, "event: %s\ndata: %s\n", e.Event, e.Data)
}

// appendID appends the id and the end of an event.
func appendID(dst []byte, at replay.Cursor) []byte { return fmt.Appendf(dst, "id: %s\n\n", at) }
