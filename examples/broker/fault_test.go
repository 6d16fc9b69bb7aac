package main

import (
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/safe-go/safe/internal/redistest"
	"github.com/safe-go/safe/sharedata"
	"github.com/safe-go/safe/sharedata/schedule"
)

// The broker is killed when events are due, and started again on its file: a client that
// comes back gets each of them, once and in order of their times, and users are still known.
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
	var response struct{ Events []event }
	if s.want(&response, "GET", "/events/user", ""); len(response.Events) != rounds*each+2 {
		t.Errorf("%d events are kept", len(response.Events))
	}
	if status, _ := s.do("POST", "/login", annLogin); status != 200 {
		t.Errorf("login after the restart: %d", status)
	}
}

// A process is killed right after the commit that inserts an event: the scheduler records
// and publishes it, and a process that does the same late changes nothing.
func TestInsert_Completed(t *testing.T) {
	c, err := parse([]string{"-dev"}, "", io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	err = withBroker(t.Context(), c, slog.New(slog.DiscardHandler), func(b *broker) error {
		e := event{ID: newUUID(), UserID: newUUID(), CollectionID: collection, Event: "e", Timestamp: 1, Data: []byte("1")}
		for id, kind := range map[string]string{userPrefix + e.UserID: userKind, collectionPrefix + collection: collectionKind} {
			state := map[string]any{userKind: user{}, collectionKind: struct{}{}}[kind]
			if _, err := b.manager.CreateKind(t.Context(), id, kind, state); err != nil {
				t.Fatal(err)
			}
		}
		published := make(chan struct{}, 2)
		for _, id := range []string{latestID, collectionPrefix + collection} {
			_, stop, err := b.manager.Observe(t.Context(), id, sharedata.ObserverFunc(func([]sharedata.Event) { published <- struct{}{} }))
			if err != nil {
				t.Fatal(err)
			}
			defer stop()
		}
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
		if events, err := b.list(t.Context(), "", collection); err != nil || len(events) != 1 || !events[0].Published {
			t.Errorf("got %v, %v", events, err)
		}
		if len(published) > 0 {
			t.Error("it is recorded or published twice")
		}
		return nil
	})
	if err != nil {
		t.Error(err)
	}
}

// A process is killed right after the commit that cancels an event: the scheduler records
// that, and does not publish the event. One that a killed process may have published cannot be
// cancelled.
func TestCancel_Completed(t *testing.T) {
	c, err := parse([]string{"-dev"}, "", io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	err = withBroker(t.Context(), c, slog.New(slog.DiscardHandler), func(b *broker) error {
		if _, err := b.manager.CreateKind(t.Context(), collectionPrefix+collection, collectionKind, struct{}{}); err != nil {
			t.Fatal(err)
		}
		insert := func(timestamp int64) event {
			e := event{ID: newUUID(), UserID: newUUID(), CollectionID: collection, Event: "e", Timestamp: timestamp, Data: []byte("1")}
			both := []schedule.Proposal{scheduled(e.record(), time.Now()), scheduled(e.publish(), time.Now().Add(time.Hour))}
			if _, err := b.scheduler.ScheduleAll(t.Context(), both); err != nil {
				t.Fatal(err)
			}
			return e
		}
		due, gone := insert(1), insert(maxTimestamp)
		cancelled := gone
		cancelled.Cancelled = true
		if err := b.scheduler.Replace(t.Context(), gone.ID, scheduled(cancelled.record(), time.Now())); err != nil {
			t.Fatal(err)
		}
		r := httptest.NewRequestWithContext(t.Context(), "GET", "/events/"+due.ID+"/cancel", nil)
		r.SetPathValue("id", due.ID)
		r.SetPathValue("action", "cancel")
		if _, err := b.cancel(&request{Request: r, userID: due.UserID}); asRequestError(err).status != http.StatusConflict {
			t.Errorf("got %v", err)
		}
		for waits := 3; waits > 1; <-time.After(10 * time.Millisecond) {
			list, err := b.scheduler.List(t.Context(), nil)
			if err != nil {
				t.Fatal(err)
			}
			if waits = len(list); waits == 1 && list[0].ID != due.ID {
				t.Errorf("%v waits", list)
			}
		}
		events, err := b.list(t.Context(), "", collection)
		if want := "e published=true cancelled=false; e published=false cancelled=true; "; err != nil || describe(events) != want {
			t.Errorf("got %s, %v", describe(events), err)
		}
		return nil
	})
	if err != nil {
		t.Error(err)
	}
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
	var cancelled struct{ Event event }
	b.want(&cancelled, "GET", "/events/"+gone.ID+"/cancel", "")
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
	var response struct{ Events []event }
	if b.want(&response, "GET", "/events/collections/"+collection, ""); len(response.Events) != 5 {
		t.Errorf("got %s", describe(response.Events))
	}
}
