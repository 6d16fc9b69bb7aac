package js_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"log"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/safe-go/safe/internal/checker"
	"github.com/safe-go/safe/internal/child"
	"github.com/safe-go/safe/realtime"
	"github.com/safe-go/safe/replay"
	"github.com/safe-go/safe/replay/bolt"
	"github.com/safe-go/safe/sharedata"
)

// serveVariable makes the test program a server with its history in that file;
// addressVariable says where it listens.
const serveVariable, addressVariable = "SAFE_TEST_SERVE", "SAFE_TEST_ADDRESS"

// serveProcess serves a counter until the process is killed.
func serveProcess(path string) {
	ctx := context.Background()
	store, errStore := bolt.Open(path, nil)
	manager, errManager := sharedata.NewManager(&sharedata.Options{Store: store, Kinds: kinds})
	if err := errors.Join(errStore, errManager); err != nil {
		log.Fatal(err)
	}
	_, errCounter := manager.EnsureKind(ctx, "counter", "counter", counter{})
	server, errServer := realtime.NewServer(manager, &realtime.Options{ReplayWindow: 1000, OriginPatterns: []string{"127.0.0.1:*"}})
	listener, errListen := net.Listen("tcp", os.Getenv(addressVariable))
	if err := errors.Join(errCounter, errServer, errListen); err != nil {
		log.Fatal(err)
	}
	fmt.Println("ready")
	log.Fatal(http.Serve(listener, server))
}

// startProcess starts a server and returns a function that kills it.
func startProcess(t *testing.T, path, address string) (kill func()) {
	t.Helper()
	command := exec.Command(os.Args[0])
	command.Env = append(os.Environ(), serveVariable+"="+path, addressVariable+"="+address)
	command.Stderr = os.Stderr
	command.SysProcAttr = child.Attributes()
	output, err := command.StdoutPipe()
	if err == nil {
		err = command.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	kill = func() {
		command.Process.Kill()
		command.Wait() // It says that the process was killed.
	}
	if line, err := bufio.NewReader(output).ReadString('\n'); line != "ready\n" {
		kill()
		t.Fatalf("the server said %q, %v", line, err)
	}
	return kill
}

// The module over both transports, and an EventSource, follow a counter in a browser
// while its server is killed and started again on its file, without a gap or a repeat.
func TestServerKilled_Browser(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), testTimeout)
	defer cancel()
	path := filepath.Join(t.TempDir(), "history")
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := listener.Addr().String()
	listener.Close()

	recorder := checker.NewRecorder()
	d := newDriver(t, ctx, recorder, startBrowser)
	kill := startProcess(t, path, address)
	defer func() { kill() }()
	url := "http://" + address + "/realtime"
	names := []string{"websocket", "sse"}
	for _, name := range names {
		options := map[string]any{"transport": name, "backoff": map[string]any{"initialMs": 50, "maxMs": 500}}
		d.send(map[string]any{"do": "open", "client": name, "url": url, "options": options, "follow": []string{"counter"}})
	}
	d.send(map[string]any{"do": "eventsource", "client": "eventsource", "url": url + "?shareDataId=counter", "shareDataId": "counter"})
	current := func(cursor string) func() bool {
		return func() bool {
			for _, name := range append(names, "eventsource") {
				if at := d.cursors[name+"/counter"]; at == "" || cursor != "" && at != cursor {
					return false
				}
			}
			return true
		}
	}
	d.await("everything is connected", current(""))

	keys, verdicts := 0, 0
	last := ""
	propose := func(n int) {
		for range n {
			keys++
			p := checker.Proposal{Proposer: names[keys%2], ShareData: "counter", Function: "add", Data: []byte(`{"by":1}`), Key: fmt.Sprint("key-", keys)}
			d.propose(p, func(a answer) {
				if a.Result == nil {
					t.Errorf("%s: %+v", p.Key, a.Error)
					return
				}
				verdicts++
				last = a.Result.TransactionID
			})
		}
	}
	for range 2 {
		propose(60)
		d.await("some proposals have verdicts", func() bool { return len(d.waiting) < 40 })
		kill()
		propose(10)
		kill = startProcess(t, path, address)
		d.await("all proposals have verdicts", func() bool { return len(d.waiting) == 0 })
		propose(1)
		d.await("the last proposal has its verdict", func() bool { return len(d.waiting) == 0 })
		d.await("all are current", current(last))
	}
	kill()

	recordStored(t, recorder, path)
	d.mu.Lock()
	defer d.mu.Unlock()
	options := checker.Options{Window: 1000, Complete: true, Durable: true, Models: map[string]checker.Model{"counter": checker.Counter}}
	for _, violation := range recorder.Check(options) {
		t.Error(violation)
	}
	t.Logf("%v; seen %v", recorder.Summary(), d.seen)
	if verdicts != keys || d.seen["gap"] > 0 || d.seen["resumed"] < 4 || d.seen["stream open"] < 3 {
		t.Errorf("%d verdicts of %d proposals, %d gaps, %d resumed, %d streams of the EventSource", verdicts, keys, d.seen["gap"], d.seen["resumed"], d.seen["stream open"])
	}
}

// recordStored records the history of the counter in the file.
func recordStored(t *testing.T, recorder *checker.Recorder, path string) {
	t.Helper()
	store, err := bolt.Open(path, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer store.Close()
	manager, err := sharedata.NewManager(&sharedata.Options{Store: store, Kinds: kinds})
	if err != nil {
		t.Fatal(err)
	}
	defer manager.Close()
	var entries []sharedata.Entry
	for entry, err := range manager.History(t.Context(), "counter", replay.Cursor{}) {
		if err != nil {
			t.Fatal(err)
		}
		entries = append(entries, entry)
	}
	recorder.History(entries)
}
