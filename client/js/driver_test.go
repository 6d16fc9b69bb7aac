package js_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"sync"
	"testing"

	"github.com/coder/websocket"

	"github.com/safe-go/safe/client"
	"github.com/safe-go/safe/client/js"
	"github.com/safe-go/safe/internal/checker"
	"github.com/safe-go/safe/internal/wire"
)

// driver drives clients in JavaScript; testdata/driver.js documents its commands.
type driver struct {
	t        *testing.T
	ctx      context.Context
	recorder *checker.Recorder
	conn     *websocket.Conn

	mu      sync.Mutex
	changed chan struct{} // closed, and replaced, with every message
	answers int
	waiting map[int]func(answer) // by the number of the answer
	records map[string]*checker.Client
	streams map[string]*checker.Subscriber
	cursors map[string]string // by client and ShareData
	seen    map[string]int    // counts events, by what they are, and statuses
}

type answer struct {
	Result *client.Result
	Error  *struct{ Code, Message, IdempotencyKey string }
}

// newDriver starts a runtime with the URL of the server that serves it, and waits for
// its connection.
func newDriver(t *testing.T, ctx context.Context, recorder *checker.Recorder, start func(t *testing.T, url string)) *driver {
	t.Helper()
	connected := make(chan *websocket.Conn, 1)
	done := make(chan struct{})
	mux := http.NewServeMux()
	mux.HandleFunc("/control", func(w http.ResponseWriter, r *http.Request) {
		conn, err := websocket.Accept(w, r, nil)
		if err != nil {
			return
		}
		conn.SetReadLimit(-1)
		connected <- conn
		<-done
	})
	mux.Handle("/safe.js", js.Handler())
	mux.Handle("/testdata/", http.FileServer(http.Dir(".")))
	mux.HandleFunc("/{$}", func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprint(w, `<!doctype html><script type="module" src="/testdata/driver.js"></script>`)
	})
	// The control connection must not be cut, so it has a server of its own.
	control := newLocalServer(t, mux)
	start(t, control)
	d := &driver{
		t: t, ctx: ctx, recorder: recorder, changed: make(chan struct{}), waiting: make(map[int]func(answer)),
		records: make(map[string]*checker.Client), streams: make(map[string]*checker.Subscriber), cursors: make(map[string]string), seen: make(map[string]int),
	}
	select {
	case d.conn = <-connected:
	case <-ctx.Done():
		t.Fatal("the runtime does not connect")
	}
	read := make(chan struct{})
	go func() {
		defer close(read)
		d.read()
	}()
	t.Cleanup(func() {
		d.conn.CloseNow()
		close(done)
		<-read
	})
	return d
}

func (d *driver) read() {
	for {
		_, data, err := d.conn.Read(context.Background())
		if err != nil {
			return
		}
		d.receive(data)
	}
}

func (d *driver) send(command map[string]any) {
	data, err := json.Marshal(command)
	if err == nil {
		err = d.conn.Write(d.ctx, websocket.MessageText, data)
	}
	if err != nil {
		d.t.Error(err)
	}
}

func (d *driver) receive(data []byte) {
	var message struct {
		Client, ShareDataID string
		Subscribed          *struct {
			Since string
			State json.RawMessage
		}
		Event  json.RawMessage
		Ended  string
		Stream string
		Since  string
		Frame  json.RawMessage
		Status *struct{ State, Transport, Error string }
		Answer int
		answer
	}
	if err := json.Unmarshal(data, &message); err != nil {
		d.t.Errorf("%v: %.300q", err, data)
		return
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	close(d.changed)
	d.changed = make(chan struct{})
	name := message.Client + "/" + message.ShareDataID
	switch {
	case message.Subscribed != nil:
		record := d.recorder.Client(message.Client, message.ShareDataID)
		record.SubscribedWith(client.SubscribeOptions{Cursor: message.Subscribed.Since, State: message.Subscribed.State})
		d.records[name] = record
	case message.Event != nil:
		d.event(name, message.Event)
	case message.Stream == "open":
		if d.streams[name] == nil {
			d.streams[name] = d.recorder.Subscriber(message.Client, message.ShareDataID)
		}
		d.streams[name].Subscribed(message.Since)
		d.seen["stream open"]++
	case message.Stream == "lost":
		if stream := d.streams[name]; stream != nil {
			stream.Disconnected(0)
		}
	case message.Frame != nil:
		d.frame(name, message.Frame)
	case message.Ended != "":
		d.records[name].Closed()
		d.seen["ended "+message.Ended]++
	case message.Status != nil:
		d.seen["status "+message.Status.State+" "+message.Status.Transport]++
	case message.Answer != 0:
		d.waiting[message.Answer](message.answer)
		delete(d.waiting, message.Answer)
	}
}

// event records an event, whose members have the names of the fields in package client.
func (d *driver) event(name string, data json.RawMessage) {
	var kind struct{ Type string }
	json.Unmarshal(data, &kind)
	events := map[string]client.Event{
		"state": &client.State{}, "transaction": &client.Transaction{}, "lifecycle": &client.Lifecycle{}, "gap": &client.Gap{},
	}
	event := events[kind.Type]
	if err := json.Unmarshal(data, event); err != nil {
		d.t.Errorf("%v: %.300q", err, data)
		return
	}
	d.seen[kind.Type]++
	switch e := event.(type) {
	case *client.State:
		if e.Resumed {
			d.seen["resumed"]++
		}
	case *client.Transaction:
		if e.Patch != nil {
			d.seen["patch"]++
		}
		if e.Replayed {
			d.seen["replayed"]++
		}
	case *client.Lifecycle:
		if e.Removed {
			d.seen["removed"]++
		}
	}
	if cursor := d.records[name].Event(event); cursor != "" {
		d.cursors[name] = cursor
	}
}

// frame records a frame of an EventSource.
func (d *driver) frame(name string, data json.RawMessage) {
	frame, err := wire.DecodeServer(data, wire.Limits{})
	if err != nil {
		d.t.Errorf("%v: %.300q", err, data)
		return
	}
	d.streams[name].Frame(frame)
	switch f := frame.(type) {
	case *wire.State:
		if f.Replaying == 0 {
			d.cursors[name] = f.Cursor
		}
	case *wire.Transaction:
		d.cursors[name] = f.TransactionID
	}
}

// propose proposes through a client. It returns at once; done is called with the answer.
func (d *driver) propose(p checker.Proposal, done func(answer)) {
	pending := d.recorder.Proposed(p)
	d.mu.Lock()
	d.answers++
	number := d.answers
	d.waiting[number] = func(a answer) {
		if a.Error != nil {
			d.seen["error "+a.Error.Code]++
		}
		switch {
		case a.Result != nil:
			pending.Returned(*a.Result, nil)
		case a.Error.Code != "outcome-unknown":
			pending.Answered(checker.Answer{Code: a.Error.Code, Error: a.Error.Message})
		}
		done(a)
	}
	d.mu.Unlock()
	d.send(map[string]any{
		"do": "propose", "client": p.Proposer, "answer": number, "shareDataId": p.ShareData, "functionId": p.Function,
		"data": p.Data, "options": map[string]any{"idempotencyKey": p.Key},
	})
}

// await waits until the condition holds, which is asked with the lock held.
func (d *driver) await(what string, condition func() bool) {
	d.t.Helper()
	for {
		d.mu.Lock()
		holds, changed := condition(), d.changed
		d.mu.Unlock()
		if holds {
			return
		}
		select {
		case <-changed:
		case <-d.ctx.Done():
			d.mu.Lock()
			defer d.mu.Unlock()
			d.t.Fatalf("not in time: %s; cursors %v, seen %v, %d answers missing", what, d.cursors, d.seen, len(d.waiting))
		}
	}
}

var majorVersion = regexp.MustCompile(`^v(\d+)\.`)

// findNode returns the path of Node 22 or later: SAFE_NODE, the npm package "node" in
// this folder, or the one on the path.
func findNode() (string, error) {
	var err error
	for _, path := range []string{os.Getenv("SAFE_NODE"), filepath.Join("node_modules", ".bin", "node"), "node"} {
		if path == "" {
			continue
		}
		var version []byte
		if version, err = exec.Command(path, "--version").Output(); err != nil {
			continue
		}
		major := 0
		if found := majorVersion.FindSubmatch(version); found != nil {
			major, _ = strconv.Atoi(string(found[1]))
		}
		if major >= 22 {
			return filepath.Abs(path)
		}
		err = fmt.Errorf("%s is %s", path, version)
	}
	return "", err
}

// requireNode returns the path of Node, or skips the test.
func requireNode(t *testing.T) string {
	t.Helper()
	node, err := findNode()
	if err != nil {
		missing(t, "SAFE_REQUIRE_NODE", "Node 22 is not installed: %v; run: npm install --prefix client/js --no-save node@22", err)
	}
	return node
}

// startNode runs the driver in Node.
func startNode(t *testing.T, url string) {
	t.Helper()
	command := exec.Command(requireNode(t), filepath.Join("testdata", "driver.js"), url+"/control")
	command.Stderr = os.Stderr
	if err := command.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { command.Wait() }) // It ends with its connection.
}

// missing skips the test, or fails it where the variable is set.
func missing(t *testing.T, variable, format string, values ...any) {
	t.Helper()
	if os.Getenv(variable) == "1" {
		t.Fatalf(variable+" is set, but "+format, values...)
	}
	t.Skipf(format, values...)
}
