package main

import (
	"fmt"
	"strings"
	"testing"
	"time"
)

// What the document shows, in its order.
func TestDocumentedExamples(t *testing.T) {
	t.Parallel()
	s := start(t, nil)
	created := s.want("POST", "/users", ann)
	if !isUUID(created.ID) {
		t.Fatalf("the id is %q", created.ID)
	}
	if status, body := s.do("POST", "/users", ann); status != 400 || body != `{"error":"username already taken"}` {
		t.Errorf("got %d %s", status, body)
	}
	s.join()

	watcher := s.events("")
	// The timestamp is past: the event is published at once.
	inserted := s.want("POST", "/insert", `{"event":"test","collection_id":"`+collection+`","timestamp":1578667309,"data":"{}"}`)
	want := clientEvent{inserted.Event.ID, created.ID, collection, "test", 1578667309, true, false, []byte(`"{}"`)}
	if got := *inserted.Event; fmt.Sprint(got) != fmt.Sprint(want) || !isUUID(got.ID) {
		t.Errorf("got %v, want %v", got, want)
	}
	watcher.wantEvents(`test "{}"`)
	// The timestamp is to come.
	soon := time.Now().Add(2 * time.Second)
	later := s.insert("test", soon, `{"n":2}`)
	gone := s.insert("gone", soon, `{}`)
	if later.Published || gone.Published {
		t.Errorf("published before its time: %v, %v", later, gone)
	}
	cancelled := s.want("GET", "/events/"+gone.ID+"/cancel", "")
	if !cancelled.Event.Cancelled || cancelled.Event.ID != gone.ID {
		t.Errorf("got %v", cancelled.Event)
	}
	watcher.wantEvents(`test {"n":2}`)
	if now := time.Now(); now.Unix() < soon.Unix() {
		t.Errorf("published %v early", soon.Sub(now))
	}
	s.insert("last", time.Unix(1, 0), `null`)
	watcher.wantEvents(`last null`) // and not gone

	var events response
	for _, path := range []string{"/events/collections/" + collection, "/events/user"} {
		events = s.want("GET", path, "")
		list := describe(events.Events)
		if len(events.Events) != 4 || events.Events[0].Event != "last" || !strings.Contains(list, "gone published=false cancelled=true") ||
			!strings.Contains(list, "test published=true cancelled=false") {
			t.Errorf("%s: got %s", path, list)
		}
	}
	if describe(events.Info) != describe(events.Events) { // the collection is that of the user's info
		t.Errorf("info is %s", describe(events.Info))
	}
	// The latest event of each name is what newcomers get, by ascending timestamps.
	s.events("").wantEvents(`last null`, `test {"n":2}`)
}

func describe(events []clientEvent) (text string) {
	for _, e := range events {
		text += fmt.Sprintf("%s published=%v cancelled=%v; ", e.Event, e.Published, e.Cancelled)
	}
	return text
}

// Events are listed by ascending timestamps, whatever the order in which they came.
func TestCollection_Ascending(t *testing.T) {
	s := start(t, nil)
	s.join()
	for _, at := range []int64{50, 10, 1 << 33, 30, 10} {
		s.insert("e", time.Unix(at, 0), "1")
	}
	if got := timestamps(s.want("GET", "/events/collections/"+collection, "").Events); got != "[10 10 30 50 8589934592]" {
		t.Errorf("got %v", got)
	}
	// What was published last is the latest, whatever its timestamp.
	s.events("").wantEvents("e 1")
	if unknown := s.want("GET", "/events/collections/"+otherCollection, "").Events; unknown == nil || len(unknown) != 0 {
		t.Errorf("an unknown collection has %v", unknown)
	}
}

func timestamps(events []clientEvent) string {
	list := []int64{}
	for _, e := range events {
		list = append(list, e.Timestamp)
	}
	return fmt.Sprint(list)
}

// A user gets all events of the collection about the user, and those that the user inserted
// into any collection.
func TestUser_InfoAndEvents(t *testing.T) {
	s := start(t, nil)
	s.join()
	other := s.other()
	s.insert("e", time.Unix(30, 0), "1")
	s.insertInto(otherCollection, "e", time.Unix(10, 0), "1")
	s.insertInto(strings.ToUpper(otherCollection), "e", time.Unix(50, 0), "1")
	other.insert("e", time.Unix(20, 0), "1")
	for _, c := range []struct {
		s            *service
		info, events string
	}{{s, "[20 30]", "[10 30 50]"}, {other, "[10 50]", "[20]"}} {
		got := c.s.want("GET", "/events/user", "")
		if info, events := timestamps(got.Info), timestamps(got.Events); info != c.info || events != c.events {
			t.Errorf("info has %s, want %s; events has %s, want %s", info, c.info, events, c.events)
		}
	}
}

// A client that comes back is sent what it missed, and nothing twice, or is notified of
// the gap.
func TestEvents_Resume(t *testing.T) {
	s := start(t, nil)
	s.join()
	s.insert("a", time.Unix(1, 0), "1")
	watcher := s.events("")
	watcher.wantEvents("a 1")
	watcher.stop()
	s.insert("a", time.Unix(1, 0), "2")
	s.insert("b", time.Unix(1, 0), "3")
	s.insert("a", time.Unix(1, 0), "4")
	watcher = s.events(watcher.last)
	watcher.wantEvents("a 2", "b 3", "a 4")
	s.insert("c", time.Unix(1, 0), "5")
	watcher.wantEvents("c 5")
	s.events("nonsense").wantEvents("b 3", "a 4", "c 5",
		`broker-gap "events that were published meanwhile may be missing; the latest of each name are above"`)
}

// Only the user who inserted an event cancels it, and only before its time.
func TestCancel_Refused(t *testing.T) {
	s := start(t, nil)
	s.join()
	mine := s.insert("e", time.Now().Add(time.Hour), "1")
	for _, c := range []struct {
		s      *service
		id     string
		status int
	}{
		{s.other(), mine.ID, 403},
		{s, newUUID(), 404},
		{s, mine.ID + "%2Frecord", 404},
		{s, s.insert("e", time.Unix(1, 0), "1").ID, 404},
		{s, strings.ToUpper(mine.ID), 200},
		{s, mine.ID, 404},
	} {
		if status, body := c.s.do("GET", "/events/"+c.id+"/cancel", ""); status != c.status {
			t.Errorf("%s: got %d %s, want %d", c.id, status, body, c.status)
		}
	}
}
