package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"flag"
	"io"
	"log/slog"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	goredis "github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/logging"
	"go.uber.org/goleak"

	"github.com/safe-go/safe/internal/child"
)

// asProgram has the test binary be the program.
const asProgram = "TURBINE_TEST_AS_PROGRAM"

func TestMain(m *testing.M) {
	if os.Getenv(asProgram) != "" {
		main()
		return
	}
	goredis.SetLogger(&logging.VoidLogger{})
	goleak.VerifyTestMain(m,
		goleak.IgnoreAnyFunction("github.com/redis/go-redis/v9/internal/pool.(*ConnPool).tryDial"),
	)
}

// start runs a node with -dev on a free port, and returns its address. NATS is not used
// unless a URL is given. The test fails if the node does not end without an error.
func start(t *testing.T, nats string, args ...string) (addr string) {
	t.Helper()
	return startNode(t, environment{urlVariable: nats}, io.Discard, args...)
}

type environment map[string]string

func (e environment) lookUp(name string) (value string, found bool) {
	value, found = e[name]
	return value, found
}

// startNode is start with an environment and a log.
func startNode(t *testing.T, e environment, log io.Writer, args ...string) (addr string) {
	t.Helper()
	c, err := parse(append([]string{"-dev", "-addr", "127.0.0.1:0"}, args...), e.lookUp, io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	out, in := io.Pipe()
	ended := make(chan error, 1)
	go func() {
		err := run(ctx, c, in, slog.New(slog.NewTextHandler(log, nil)))
		in.CloseWithError(io.EOF)
		ended <- err
	}()
	t.Cleanup(func() {
		http.DefaultClient.CloseIdleConnections()
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("the node ended with %v", err)
		}
	})
	lines := bufio.NewReader(out)
	addr = address(t, lines)
	go io.Copy(io.Discard, lines)
	return addr
}

// address reads the first line of a node.
func address(t *testing.T, out *bufio.Reader) string {
	t.Helper()
	line, err := out.ReadString('\n')
	addr, found := strings.CutPrefix(strings.TrimSpace(line), "listening on http://")
	if err != nil || !found {
		t.Fatalf("the first line is %q, %v", line, err)
	}
	return addr
}

// program is a node that is a process.
type program struct {
	*exec.Cmd
	addr string
	out  *bufio.Reader // what follows the first line
}

func startProgram(t *testing.T, args ...string) *program {
	t.Helper()
	command := exec.Command(os.Args[0], append([]string{"-dev"}, args...)...)
	command.Env = append(os.Environ(), asProgram+"=1", urlVariable+"=")
	command.SysProcAttr = child.Attributes()
	out, err := command.StdoutPipe()
	if err == nil {
		err = command.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	p := &program{Cmd: command, out: bufio.NewReader(out)}
	t.Cleanup(p.kill)
	p.addr = address(t, p.out)
	return p
}

// kill ends the process at once. It may be called twice.
func (p *program) kill() {
	http.DefaultClient.CloseIdleConnections()
	p.Process.Kill()
	p.Wait()
}

func TestParse(t *testing.T) {
	var none environment
	for _, args := range [][]string{nil, {"-store", "bolt:x"}, {"-dev", "more"}, {"-dev", "-slow", "drop"}, {"-dev", "-max-waiting", "0"}, {"-dev", "-window", "-1"}} {
		if c, err := parse(args, none.lookUp, io.Discard); err == nil {
			t.Errorf("%q is accepted: %+v", args, c)
		}
	}
	if _, err := parse(nil, none.lookUp, io.Discard); !strings.Contains(err.Error(), secretVariable) || !strings.Contains(err.Error(), keyVariable) {
		t.Errorf("without secrets: %v", err)
	}
	want := config{
		addr: "127.0.0.1:8080", dev: true, store: "mem:", window: 1000, maxSubscriptions: 64, maxWaiting: 256, slow: "close",
		secret: "devsecret", key: "devkey", natsURL: "nats://127.0.0.1:4222", natsPrefix: "turbine",
	}
	if c, err := parse([]string{"-dev"}, none.lookUp, io.Discard); err != nil || c != want {
		t.Errorf("got  %+v, %v\nwant %+v", c, err, want)
	}
	all := environment{secretVariable: "s", keyVariable: "k", urlVariable: "nats://n:1", prefixVariable: "p"}
	want.addr, want.dev, want.secret, want.key, want.natsURL, want.natsPrefix = "0.0.0.0:8080", false, "s", "k", "nats://n:1", "p"
	if c, err := parse(nil, all.lookUp, io.Discard); err != nil || c != want {
		t.Errorf("got  %+v, %v\nwant %+v", c, err, want)
	}
	for _, want.secret = range []string{"s", devSecret} {
		if err := run(t.Context(), want, io.Discard, slog.New(slog.DiscardHandler)); err == nil || !strings.Contains(err.Error(), secretVariable) {
			t.Errorf("with the short secret %q: %v", want.secret, err)
		}
	}
	var help bytes.Buffer
	if _, err := parse([]string{"-h"}, none.lookUp, &help); !errors.Is(err, flag.ErrHelp) || !strings.Contains(help.String(), "-max-subscriptions") {
		t.Errorf("-h: %v, %s", err, &help)
	}
}

// The guide that is printed has a token and commands that work.
func TestGuide(t *testing.T) {
	node := startProgram(t, "-addr", "127.0.0.1:0")
	defer time.AfterFunc(wait, func() { node.Process.Kill() }).Stop() // ends the wait for a line
	var lines []string
	for range 6 {
		line, err := node.out.ReadString('\n')
		if err != nil {
			t.Fatalf("after %q: %v", lines, err)
		}
		lines = append(lines, strings.TrimSpace(line))
	}
	if lines[1] != "websocat ws://"+node.addr+"/ws" || !strings.HasPrefix(lines[5], "curl http://"+node.addr+"/api/publish -H 'x-api-key: devkey' ") {
		t.Errorf("%q", lines)
	}
	session := dial(t, node.addr)
	session.say(lines[2])
	session.want(`{"id":1,"result":{"connected":true}}`)
	session.say(lines[3])
	session.want(`{"id":2,"result":{"subscribed":true,"recovered":false}}`)
	_, body, _ := strings.Cut(lines[5], "-d '")
	if status, answer := post(t, node.addr, strings.TrimSuffix(body, "'"), "x-api-key: devkey"); status != http.StatusOK || answer != `{"ok":true,"delivered":1}` {
		t.Errorf("%d %s", status, answer)
	}
	session.want(`{"method":"publication","params":{"channel":"chat:lobby","data":{"text":"hello world"}}}`)
}
