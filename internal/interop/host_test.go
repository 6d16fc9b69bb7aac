package interop_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"
	"time"
)

// host is a Node process in which actors run. node/host.js documents its commands.
type host struct {
	command *exec.Cmd
	cancel  context.CancelFunc
	stderr  bytes.Buffer
	ended   chan error // has the error that ended listen

	writing sync.Mutex // held for a whole line; never with mu
	stdin   io.WriteCloser

	mu      sync.Mutex
	sent    int
	answers map[int]chan answer // nil when the process has ended
	started int
	actors  map[int]*actor
}

// answer is the reply to a command.
type answer struct {
	value json.RawMessage
	err   error
}

// shared is the host of all tests that need no environment of their own: starting one
// takes longer than most tests.
var shared struct {
	sync.Mutex
	host *host
}

func sharedHost() (*host, error) {
	shared.Lock()
	defer shared.Unlock()
	if shared.host != nil {
		return shared.host, nil
	}
	h, err := startHost()
	shared.host = h
	return h, err
}

func stopSharedHost() error {
	shared.Lock()
	defer shared.Unlock()
	if shared.host == nil {
		return nil
	}
	return shared.host.stop()
}

// startHost starts a host with additions to its environment.
func startHost(environment ...string) (*host, error) {
	ctx, cancel := context.WithCancel(context.Background())
	h := &host{
		command: exec.CommandContext(ctx, "node", "host.js"),
		cancel:  cancel,
		ended:   make(chan error, 1),
		answers: make(map[int]chan answer),
		actors:  make(map[int]*actor),
	}
	h.command.Dir = "node"
	h.command.Env = append(os.Environ(), environment...)
	h.command.Stderr = &h.stderr
	h.command.WaitDelay = time.Second
	stdin, stdinErr := h.command.StdinPipe()
	stdout, stdoutErr := h.command.StdoutPipe()
	if err := errors.Join(stdinErr, stdoutErr, h.command.Start()); err != nil {
		cancel()
		return nil, err
	}
	h.stdin = stdin
	go func() { h.ended <- h.listen(stdout) }()
	return h, nil
}

// stop ends the process and returns its error.
func (h *host) stop() error {
	h.stdin.Close()
	hurry := time.AfterFunc(testTimeout, h.cancel)
	defer hurry.Stop()
	defer h.cancel()
	err := errors.Join(<-h.ended, h.command.Wait())
	if err != nil {
		return fmt.Errorf("node: %w\n%s", err, h.stderr.Bytes())
	}
	return nil
}

// listen dispatches the output of the process until it ends.
func (h *host) listen(stdout io.Reader) error {
	defer h.endAll()
	lines := bufio.NewReader(stdout)
	for {
		line, err := lines.ReadBytes('\n')
		if err == io.EOF && len(line) == 0 {
			return nil
		}
		if err == nil {
			err = h.dispatch(line)
		}
		if err != nil {
			io.Copy(io.Discard, stdout) // a process that cannot write does not end
			return fmt.Errorf("%w: %.200q", err, line)
		}
	}
}

func (h *host) dispatch(line []byte) error {
	var message struct {
		event
		Actor  int
		Answer int
		Value  json.RawMessage
		Error  *string
	}
	if err := json.Unmarshal(line, &message); err != nil {
		return err
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if a := h.actors[message.Actor]; a != nil {
		return a.dispatch(message.event)
	}
	waiting := h.answers[message.Answer]
	if waiting == nil {
		return errors.New("neither an event nor a reply")
	}
	got := answer{value: message.Value}
	if message.Error != nil {
		got.err = errors.New(*message.Error)
	}
	waiting <- got
	delete(h.answers, message.Answer)
	return nil
}

var errEnded = errors.New("the process has ended")

func (h *host) endAll() {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, waiting := range h.answers {
		waiting <- answer{err: errEnded}
	}
	h.answers = nil
	for _, a := range h.actors {
		close(a.events)
	}
}

// parameters are the parameters of a command.
type parameters map[string]any

// begin sends a command to an actor and returns a channel for the reply.
func (h *host) begin(actor int, name string, with parameters) <-chan answer {
	id, waiting := h.expect()
	command := parameters{"id": id, "actor": actor, "do": name}
	maps.Copy(command, with)
	line, err := json.Marshal(command)
	if err == nil {
		h.writing.Lock()
		_, err = h.stdin.Write(append(line, '\n'))
		h.writing.Unlock()
	}
	if err != nil {
		failed := make(chan answer, 1)
		failed <- answer{err: err}
		return failed
	}
	return waiting
}

// expect returns the id of a new command and the channel for its reply.
func (h *host) expect() (id int, waiting chan answer) {
	h.mu.Lock()
	defer h.mu.Unlock()
	waiting = make(chan answer, 1)
	h.sent++
	if h.answers == nil {
		waiting <- answer{err: errEnded}
	} else {
		h.answers[h.sent] = waiting
	}
	return h.sent, waiting
}

// missing says which of Node and the published package is missing.
func missing() error {
	if _, err := exec.LookPath("node"); err != nil {
		return err
	}
	_, err := os.Stat(filepath.Join("node", "node_modules", ".ready"))
	return err
}

// requireNode skips the test where Node or the published package is missing, or fails
// it where SAFE_REQUIRE_NODE is set.
func requireNode(t *testing.T) {
	t.Helper()
	err := missing()
	switch {
	case err == nil:
	case os.Getenv("SAFE_REQUIRE_NODE") == "1":
		t.Fatalf("SAFE_REQUIRE_NODE is set, but: %v; install Node and run internal/interop/node/setup.sh", err)
	default:
		t.Skipf("the published package is not installed: %v; install Node and run internal/interop/node/setup.sh", err)
	}
}
