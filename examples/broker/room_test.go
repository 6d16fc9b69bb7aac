package main

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/crypto/bcrypt"
)

// Events that make the latest ones of all names too large are refused; others go on.
func TestInsert_LatestFull(t *testing.T) {
	t.Parallel()
	s := start(t, nil)
	s.join()
	insert := func(name string, timestamp int64, bytes int) (status int, response string) {
		return s.do("POST", "/insert", fmt.Sprintf(`{"event":%q,"collection_id":%q,"timestamp":%d,"data":%q}`,
			name, collection, timestamp, strings.Repeat("x", bytes)))
	}
	const want, bytes = 17, maxLatestBytes/17 - 300 // which is for the other fields
	names := 0
	for ; ; names++ {
		status, response := insert(fmt.Sprint("e", names), 1, bytes)
		if status == 507 && strings.HasPrefix(response, `{"error":"`) {
			break
		}
		if status != 200 {
			t.Fatalf("got %d %s", status, response)
		}
	}
	if names != want {
		t.Errorf("there are %d names", names)
	}
	for _, c := range []struct {
		name      string
		timestamp int64
		bytes     int
		status    int
	}{
		{"e0", 1, bytes, 200}, {"e0", 1, bytes + 5000, 507}, {"later", time.Now().Unix() + 3600, bytes, 507},
		{"e0", 1, 1, 200}, {"new", 1, bytes - 5000, 200},
	} {
		if status, response := insert(c.name, c.timestamp, c.bytes); status != c.status {
			t.Errorf("%s with %d bytes: got %d %.200s, want %d", c.name, c.bytes, status, response, c.status)
		}
	}
	if events := s.want("GET", "/events/user", "").Events; len(events) != names+3 {
		t.Errorf("%d events are kept", len(events))
	}
}

// A collection of more than 16 MiB is full, and a list of more than 64 MiB is refused.
func TestInsert_CollectionFull(t *testing.T) {
	inside(t, bcrypt.MinCost, func(b *broker, s *service) {
		s.join()
		e := largeEvent("e", maxCollectionBytes)
		create(t, b, collectionPrefix+collection, collectionKind, map[string]event{e.ID: e})
		status, body := s.do("POST", "/insert", `{"event":"e","collection_id":"`+collection+`","timestamp":1,"data":1}`)
		if want := `{"error":"the collection is full: use another collection_id"}`; status != 507 || body != want {
			t.Errorf("got %d %s", status, body)
		}
		s.insertInto(otherCollection, "e", time.Unix(1, 0), "1")
		for n, want := range map[int]bool{1: true, 4: false} {
			list, err := b.list(t.Context(), "", slices.Repeat([]string{collection}, n)...)
			if (err == nil) != want || want && len(list) != n || !want && asRequestError(err).status != 507 {
				t.Errorf("%d times: got %d events, %v", n, len(list), err)
			}
		}
	})
}

// largeEvent returns an event with data of a size.
func largeEvent(name string, bytes int) event {
	data := json.RawMessage(`"` + strings.Repeat("x", bytes) + `"`)
	return event{ID: newUUID(), UserID: newUUID(), CollectionID: collection, Event: name, Timestamp: 1, Data: data}
}

// The size that counts for a list is about that of the JSON, also of small events.
func TestEvent_Size(t *testing.T) {
	for _, e := range []event{largeEvent("e", 0), largeEvent("e", 1000), largeEvent(strings.Repeat("e", 256), 0)} {
		text, err := json.Marshal(e)
		if size := e.size(); err != nil || size < len(text)-50 || size > len(text)+50 {
			t.Errorf("%.300s has %d bytes and counts for %d; %v", text, len(text), size, err)
		}
	}
}

// Two events find room when they are inserted, but the second one does not when it is
// published: it is listed only.
func TestPublish_NoRoom(t *testing.T) {
	inside(t, bcrypt.MinCost, func(b *broker, s *service) {
		s.join()
		create(t, b, collectionPrefix+collection, collectionKind, struct{}{})
		watcher := s.events("")
		for _, name := range []string{"first", "second"} {
			e := largeEvent(name, maxLatestBytes*2/3)
			b.propose(t.Context(), e.record(), e.publish())
		}
		s.insert("end", time.Unix(1, 0), "1")
		for _, want := range []string{"first", "end"} {
			if name, _, err := watcher.next(); name != want || err != nil {
				t.Errorf("got %s, %v; want %s", name, err, want)
			}
		}
		if got := s.want("GET", "/events/collections/"+collection, "").Events; len(got) != 3 || !got[1].Published {
			t.Errorf("listed are %d events", len(got))
		}
	})
}
