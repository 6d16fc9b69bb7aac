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
	c, err := parse(append([]string{"-dev", "-addr", "127.0.0.1:0"}, args...), func(name string) (string, bool) {
		if name != urlVariable {
			return "", false
		}
		return nats, true
	}, io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	out, in := io.Pipe()
	ended := make(chan error, 1)
	go func() {
		err := run(ctx, c, in, slog.New(slog.DiscardHandler))
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
	p := &program{Cmd: command}
	t.Cleanup(p.kill)
	p.addr = address(t, bufio.NewReader(out))
	return p
}

// kill ends the process at once. It may be called twice.
func (p *program) kill() {
	http.DefaultClient.CloseIdleConnections()
	p.Process.Kill()
	p.Wait()
}

func TestParse(t *testing.T) {
	environment := map[string]string{}
	lookUp := func(name string) (string, bool) {
		value, found := environment[name]
		return value, found
	}
	for _, args := range [][]string{nil, {"-store", "bolt:x"}, {"-dev", "more"}, {"-dev", "-slow", "drop"}, {"-dev", "-max-waiting", "0"}, {"-dev", "-window", "-1"}} {
		if c, err := parse(args, lookUp, io.Discard); err == nil {
			t.Errorf("%q is accepted: %+v", args, c)
		}
	}
	if _, err := parse(nil, lookUp, io.Discard); !strings.Contains(err.Error(), secretVariable) || !strings.Contains(err.Error(), keyVariable) {
		t.Errorf("without secrets: %v", err)
	}
	want := config{
		addr: "127.0.0.1:8080", dev: true, store: "mem:", window: 1000, maxSubscriptions: 64, maxWaiting: 256, slow: "close",
		secret: "devsecret", key: "devkey", natsURL: "nats://127.0.0.1:4222", natsPrefix: "turbine",
	}
	if c, err := parse([]string{"-dev"}, lookUp, io.Discard); err != nil || c != want {
		t.Errorf("got  %+v, %v\nwant %+v", c, err, want)
	}
	environment = map[string]string{secretVariable: "s", keyVariable: "k", urlVariable: "nats://n:1", prefixVariable: "p"}
	want.addr, want.dev, want.secret, want.key, want.natsURL, want.natsPrefix = "0.0.0.0:8080", false, "s", "k", "nats://n:1", "p"
	if c, err := parse(nil, lookUp, io.Discard); err != nil || c != want {
		t.Errorf("got  %+v, %v\nwant %+v", c, err, want)
	}
	for _, want.secret = range []string{"s", devSecret} {
		if err := run(t.Context(), want, io.Discard, slog.New(slog.DiscardHandler)); err == nil || !strings.Contains(err.Error(), secretVariable) {
			t.Errorf("with the short secret %q: %v", want.secret, err)
		}
	}
	var help bytes.Buffer
	if _, err := parse([]string{"-h"}, lookUp, &help); !errors.Is(err, flag.ErrHelp) || !strings.Contains(help.String(), "-max-subscriptions") {
		t.Errorf("-h: %v, %s", err, &help)
	}
}

// The guide that is printed has a token and commands that work.
func TestGuide(t *testing.T) {
	var out bytes.Buffer
	if err := printGuide(&out, "HOST:1"); err != nil {
		t.Fatal(err)
	}
	_, guide, _ := strings.Cut(out.String(), "websocat ws://HOST:1/ws\n")
	lines := strings.Split(guide, "\n")
	addr := start(t, "")
	session := dial(t, addr)
	session.say(strings.TrimSpace(lines[0]))
	session.want(`{"id":1,"result":{"connected":true}}`)
	session.say(strings.TrimSpace(lines[1]))
	session.want(`{"id":2,"result":{"subscribed":true,"recovered":false}}`)
	_, body, _ := strings.Cut(lines[3], "-d '")
	if status, answer := post(t, addr, strings.TrimSuffix(body, "'"), "x-api-key: devkey"); status != http.StatusOK {
		t.Errorf("%d %s", status, answer)
	}
	session.want(`{"method":"publication","params":{"channel":"chat:lobby","data":{"text":"hello world"}}}`)
}
