package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	"github.com/coder/websocket"
)

// fakeServer serves one ShareData to one subscriber. The first proposal makes it send the
// revisions of the script, in which 0 cuts the connection; the next connection goes on.
type fakeServer struct {
	script   []uint64
	proposed chan struct{}

	mu       sync.Mutex
	next     int    // of the script
	resuming uint64 // the position from which a reconnected subscriber is replayed
	since    []string
}

const lastRevision = 5 // the position that the reply to the proposal names

// subscribed sends the frames of one connection.
func (f *fakeServer) subscribed(since string, send func(frame string) error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.since = append(f.since, since)
	base, replaying := uint64(1), uint64(0)
	if since != "" {
		base, replaying = f.script[len(f.script)-1], f.script[len(f.script)-1]-f.resuming
	}
	err := send(fmt.Sprintf(`{"v":1,"type":"state","shareDataId":"doc","currentState":{"pad":"%s"},"lastTransactionId":null,"cursor":"7-%d","revision":%d,"replaying":%d}`,
		strings.Repeat("p", 10_000), base, base, replaying))
	<-f.proposed
	for err == nil && f.next < len(f.script) {
		revision := f.script[f.next]
		f.next++
		if revision == 0 {
			return
		}
		err = send(fmt.Sprintf(`{"v":1,"type":"transaction","shareDataId":"doc","transactionId":"7-%d","accepted":true,"currentState":{"sentAt":1}}`, revision))
	}
}

func (f *fakeServer) result(correlation string) string {
	close(f.proposed)
	return fmt.Sprintf(`{"v":1,"type":"proposal-result","correlationId":%q,"accepted":true,"transactionId":"7-%d"}`, correlation, lastRevision)
}

func (f *fakeServer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	switch {
	case r.Method == http.MethodPost:
		var proposal struct{ CorrelationID string }
		if err := json.NewDecoder(r.Body).Decode(&proposal); err == nil {
			io.WriteString(w, f.result(proposal.CorrelationID))
		}
	case r.Header.Get("Upgrade") == "":
		fmt.Fprint(w, "retry: 10\n\n: a comment\n\n")
		flush := http.NewResponseController(w).Flush
		f.subscribed(r.URL.Query().Get("since"), func(frame string) error {
			fmt.Fprintf(w, "event: some\nid: 1\ndata: %s\n\n", frame)
			return flush()
		})
		if f.remaining() == 0 { // the stream stays open
			<-r.Context().Done()
		}
	default:
		f.overWebSocket(w, r)
	}
}

func (f *fakeServer) remaining() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return len(f.script) - f.next
}

func (f *fakeServer) overWebSocket(w http.ResponseWriter, r *http.Request) {
	conn, err := websocket.Accept(w, r, nil)
	if err != nil {
		return
	}
	defer conn.CloseNow()
	send := func(frame string) error {
		return conn.Write(context.Background(), websocket.MessageText, []byte(frame))
	}
	var request struct{ Type, Since, CorrelationID string }
	_, message, err := conn.Read(r.Context())
	if err != nil || json.Unmarshal(message, &request) != nil {
		return
	}
	if request.Type == "propose" {
		send(`{"v":1,"type":"proposal-result","correlationId":"nobody's.9","accepted":false}`)
		send(f.result(request.CorrelationID))
	} else {
		f.subscribed(request.Since, send)
		if f.remaining() > 0 {
			return
		}
	}
	conn.Read(r.Context()) // until the client closes
}

// Each script is what a subscriber at revision 1 is sent.
func TestFaults_AreFound(t *testing.T) {
	for name, test := range map[string]struct {
		script   []uint64
		resuming uint64
		want     violations
		gaps     int64
		since    string
	}{
		"faithful":       {script: []uint64{2, 3, 4, 5}},
		"skips":          {script: []uint64{2, 5}, want: violations{Lost: 2}},
		"stops early":    {script: []uint64{2, 3}, want: violations{Lost: 2}},
		"repeats":        {script: []uint64{2, 2, 3, 2, 4, 5}, want: violations{Repeated: 2}},
		"reorders":       {script: []uint64{4, 2, 3, 5}, want: violations{Reordered: 2}},
		"resumes":        {script: []uint64{2, 3, 0, 4, 5}, resuming: 3, since: "7-3"},
		"replays less":   {script: []uint64{2, 3, 0, 5}, resuming: 3, since: "7-3", want: violations{Lost: 1}},
		"replays more":   {script: []uint64{2, 3, 0, 3, 4, 5}, resuming: 2, since: "7-3", want: violations{Repeated: 1}},
		"tells of a gap": {script: []uint64{2, 3, 0, 5}, resuming: 4, since: "7-3", gaps: 1},
	} {
		for _, transport := range []string{"ws", "sse"} {
			t.Run(name+" "+transport, func(t *testing.T) {
				fake := &fakeServer{script: test.script, resuming: test.resuming, proposed: make(chan struct{})}
				web := httptest.NewServer(fake)
				defer web.Close()
				drain := "-drain=20s"
				if name == "stops early" {
					drain = "-drain=50ms"
				}
				got := execute(t, "\n", "-url="+web.URL, "-transport="+transport, "-subscribers=1", "-hold", drain)
				if got.violations != test.want || got.broken() != (test.want != violations{}) || got.Gaps != test.gaps {
					t.Errorf("got %+v and %d gaps, want %+v and %d", got.violations, got.Gaps, test.want, test.gaps)
				}
				if last := fake.since[len(fake.since)-1]; last != test.since {
					t.Errorf("subscribed since %q, want %q", last, test.since)
				}
			})
		}
	}
}

// A refused handshake that cannot succeed later is not repeated.
func TestDial_Refused(t *testing.T) {
	for status, final := range map[int]bool{401: true, 404: true, 429: false, 503: false} {
		web := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.Header.Get("Authorization") != "Bearer secret" {
				status = 400
			}
			w.WriteHeader(status)
		}))
		e, err := newEndpoint(web.URL, "secret")
		if err != nil {
			t.Fatal(err)
		}
		_, err = e.openWebSocket(t.Context(), 1)
		failed, _ := err.(*failure)
		if failed == nil || failed.final != final || failed.code != fmt.Sprint("http-", status) {
			t.Errorf("status %d: %v", status, err)
		}
		web.Close()
	}
}

func TestCreate(t *testing.T) {
	var created []string
	status := http.StatusCreated
	web := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		created = append(created, r.URL.Path+" "+string(body))
		w.WriteHeader(status)
		status = http.StatusConflict
	}))
	defer web.Close()
	e, err := newEndpoint(web.URL+"/realtime", "")
	if err != nil {
		t.Fatal(err)
	}
	for _, id := range []string{"a b", "a b", "a/b"} {
		if err := e.create(t.Context(), web.Client(), id, "1"); err != nil {
			t.Fatal(err)
		}
	}
	if got := strings.Join(created, ","); got != "/admin/sharedata/a b 1,/admin/sharedata/a b 1,/admin/sharedata/a/b 1" {
		t.Error(got)
	}
	status = http.StatusForbidden
	if err := e.create(t.Context(), web.Client(), "a", "1"); err == nil || !strings.Contains(err.Error(), "403") {
		t.Error(err)
	}
}
