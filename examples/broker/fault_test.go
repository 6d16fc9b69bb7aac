package main

import (
	"fmt"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/crypto/bcrypt"

	"github.com/safe-go/safe/internal/redistest"
	"github.com/safe-go/safe/sharedata"
	"github.com/safe-go/safe/sharedata/schedule"
)

// The broker is killed when events are due, and started again on its file: a client that
// comes back gets each of them once, and users are still known.
func TestKill9_AtDueTime(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "tmp", "broker_data")
	s, broker := process(t, path, "-port", "0")
	port := s.url[strings.LastIndex(s.url, ":")+1:]
	s.join()
	watcher := s.events("")
	s.insert("start", time.Unix(1, 0), "0")
	watcher.wantEvents("start 0")
	const rounds, each = 3, 40
	for round := range rounds {
		due := time.Unix(time.Now().Unix()+1, 0)
		want := make(map[string]bool)
		var inserting sync.WaitGroup
		for i := range each {
			data := fmt.Sprintf(`{"n":%d}`, round*each+i)
			inserting.Go(func() { s.insert(fmt.Sprint("e", i%10), due, data) })
			want[data] = true
		}
		inserting.Wait()
		<-time.After(time.Until(due))
		for range round { // in the middle of them
			name, data, err := watcher.next()
			if err != nil || !want[data] {
				t.Fatalf("%s %s came again or is unknown; %v", name, data, err)
			}
			delete(want, data)
		}
		kill(broker)
		for name, data, err := watcher.next(); err == nil; name, data, err = watcher.next() {
			if !want[data] {
				t.Fatalf("%s %s came again or is unknown", name, data)
			}
			delete(want, data)
		}
		t.Logf("round %d: %d of %d had come before the kill", round, each-len(want), each)

		jwt := s.jwt
		s, broker = process(t, path, "-port", port)
		s.jwt = jwt // which is good after a restart, as the secret is
		watcher = s.events(watcher.last)
		for len(want) > 0 {
			name, data, err := watcher.next()
			if err != nil || !want[data] {
				t.Fatalf("%s %s came again or is unknown; %v", name, data, err)
			}
			delete(want, data)
		}
	}
	s.insert("end", time.Unix(1, 0), "1")
	watcher.wantEvents("end 1") // and nothing again
	if events := s.want("GET", "/events/user", "").Events; len(events) != rounds*each+2 {
		t.Errorf("%d events are kept", len(events))
	}
	if status, _ := s.do("POST", "/login", annLogin); status != 200 {
		t.Errorf("login after the restart: %d", status)
	}
}

// A process is killed right after the commit that inserts an event: the scheduler records
// and publishes it, and a process that does the same late changes nothing.
func TestInsert_Completed(t *testing.T) {
	inside(t, bcrypt.MinCost, func(b *broker, s *service) {
		s.join()
		create(t, b, collectionPrefix+collection, collectionKind, struct{}{})
		published := make(chan struct{}, 2)
		for _, id := range []string{latestID, collectionPrefix + collection} {
			_, stop, err := b.manager.Observe(t.Context(), id, sharedata.ObserverFunc(func([]sharedata.Event) { published <- struct{}{} }))
			if err != nil {
				t.Fatal(err)
			}
			defer stop()
		}
		e := event{ID: newUUID(), UserID: newUUID(), CollectionID: collection, Event: "e", Timestamp: 1, Data: []byte("1")}
		proposals := []schedule.Proposal{scheduled(e.record(), time.Now()), scheduled(e.publish(), time.Now())}
		if _, err := b.scheduler.ScheduleAll(t.Context(), proposals); err != nil {
			t.Fatal(err)
		}
		<-published
		<-published
		for _, p := range []sharedata.Proposal{e.record(), e.publish()} {
			if _, err := b.manager.Propose(t.Context(), p); err != nil {
				t.Error(err)
			}
		}
		if got := describe(s.want("GET", "/events/collections/"+collection, "").Events); got != "e published=true cancelled=false; " {
			t.Errorf("got %s", got)
		}
		if len(published) > 0 {
			t.Error("it is recorded or published twice")
		}
	})
}

// A process is killed right after the commit that cancels an event: the scheduler records
// that, and does not publish the event. One that a killed process may have published cannot be
// cancelled, also where its time has not come by this clock.
func TestCancel_Completed(t *testing.T) {
	inside(t, bcrypt.MinCost, func(b *broker, s *service) {
		s.join()
		create(t, b, collectionPrefix+collection, collectionKind, struct{}{})
		userID := stored(t, b).ID
		insert := func(timestamp int64, published bool) event {
			e := event{newUUID(), userID, collection, "e", timestamp, published, false, []byte("1")}
			both := []schedule.Proposal{scheduled(e.record(), time.Now()), scheduled(e.publish(), time.Now().Add(time.Hour))}
			if _, err := b.scheduler.ScheduleAll(t.Context(), both); err != nil {
				t.Fatal(err)
			}
			return e
		}
		due, ahead, gone := insert(1, false), insert(maxTimestamp-1, true), insert(maxTimestamp, false)
		cancelled := gone
		cancelled.Cancelled = true
		if err := b.scheduler.Replace(t.Context(), gone.ID, scheduled(cancelled.record(), time.Now())); err != nil {
			t.Fatal(err)
		}
		for _, e := range []event{due, ahead} {
			if status, body := s.do("GET", "/events/"+e.ID+"/cancel", ""); status != 409 {
				t.Errorf("got %d %s", status, body)
			}
		}
		others := func(p schedule.Proposal) bool { return p.ID != due.ID && p.ID != ahead.ID }
		for waits := 1; waits > 0; <-time.After(10 * time.Millisecond) {
			list, err := b.scheduler.List(t.Context(), others)
			if err != nil {
				t.Fatal(err)
			}
			waits = len(list)
		}
		got := describe(s.want("GET", "/events/collections/"+collection, "").Events)
		if got != "e published=true cancelled=false; e published=true cancelled=false; e published=false cancelled=true; " {
			t.Errorf("got %s", got)
		}
	})
}

// While the store cannot be reached, requests fail with 503; afterwards the broker goes on.
func TestStoreFailure(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t, nil)
	s := start(t, func(c *config) { c.store = "redis://" + server.Addr() })
	s.join()
	server.Kill()
	for path, body := range map[string]string{
		"/users": strings.Replace(ann, "rust22", "rust23", 1), "/insert": `{"event":"e","collection_id":"` + collection + `","timestamp":1,"data":1}`,
	} {
		if status, body := s.do("POST", path, body); status != 503 || !strings.HasPrefix(body, `{"error":"`) {
			t.Errorf("%s: got %d %s", path, status, body)
		}
	}
	server.Restart()
	for status := 503; status != 200; <-time.After(10 * time.Millisecond) {
		status, _ = s.do("POST", "/insert", `{"event":"e","collection_id":"`+collection+`","timestamp":1,"data":2}`)
		if status != 503 && status != 200 {
			t.Fatalf("got %d", status)
		}
	}
	s.events("").wantEvents("e 2")
}

// Two processes on one Redis are one broker.
func TestTwoProcesses(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t, nil)
	store := "redis://" + server.Addr()
	withStore := func(c *config) { c.store, c.secret = store, "secret" }
	a, b := start(t, withStore), start(t, withStore)
	a.join()
	b.jwt = a.jwt
	atA, atB := a.events(""), b.events("")
	soon := time.Now().Add(2 * time.Second)
	a.insert("now", time.Unix(1, 0), "1")
	a.insert("later", soon, "2")
	gone := a.insert("gone", soon, "3")
	b.want("GET", "/events/"+gone.ID+"/cancel", "")
	for _, watcher := range []*stream{atA, atB} {
		watcher.wantEvents("now 1", "later 2")
	}
	b.insert("end", time.Unix(1, 0), "4")
	for _, watcher := range []*stream{atA, atB} {
		watcher.wantEvents("end 4")
	}
	// A client may come back at the other one.
	last := atA.last
	atA.stop()
	a.insert("more", time.Unix(1, 0), "5")
	b.events(last).wantEvents("more 5")
	if events := b.want("GET", "/events/collections/"+collection, "").Events; len(events) != 5 {
		t.Errorf("got %s", describe(events))
	}
}
