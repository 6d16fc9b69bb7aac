package main

import (
	"bufio"
	"context"
	"errors"
	"flag"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/safe-go/safe/internal/child"
)

// childVariable makes this program the server, for tests that kill it.
const childVariable = "MLES_TEST_CHILD"

func TestMain(m *testing.M) {
	if os.Getenv(childVariable) != "" {
		main()
		return
	}
	goleak.VerifyTestMain(m)
}

// server is a server that a test has started.
type server struct {
	url      string // http://HOST:PORT or https://…
	redirect string // of port 80, with --redirect
	out      *bufio.Reader
	stop     func() // gracefully
}

// start runs a server inside the test.
func start(t *testing.T, arguments ...string) *server {
	t.Helper()
	return startWith(t, 30*time.Second, arguments...)
}

func startWith(t *testing.T, heartbeat time.Duration, arguments ...string) *server {
	t.Helper()
	c, err := parseConfig(append([]string{"-dev", "-port", "0"}, arguments...), io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	c.heartbeat = heartbeat
	ctx, cancel := context.WithCancel(context.Background())
	out, in := io.Pipe()
	ended := make(chan error, 1)
	go func() {
		err := run(ctx, c, "127.0.0.1:0", in, slog.New(slog.NewTextHandler(t.Output(), nil)))
		in.CloseWithError(io.EOF)
		ended <- err
	}()
	stopped := false
	s := &server{out: bufio.NewReader(out), stop: func() {
		if cancel(); stopped {
			return
		}
		stopped = true
		if err := <-ended; err != nil {
			t.Errorf("the server ended with %v", err)
		}
	}}
	t.Cleanup(s.stop)
	s.readURL(t, c.redirect)
	return s
}

// readURL reads the lines that a server begins with.
func (s *server) readURL(t *testing.T, redirect bool) {
	t.Helper()
	for _, beginning := range []string{"listening on ", "try: websocat ws", `     { "uid":"alice", "channel":"example" }`, "     Hello Bob!"} {
		line, err := s.out.ReadString('\n')
		if err != nil || !strings.HasPrefix(line, beginning) {
			t.Fatalf("got %q (%v), want %q", line, err, beginning)
		}
		if url, found := strings.CutPrefix(line, "listening on "); found {
			s.url = strings.TrimSpace(url)
		}
	}
	if redirect {
		line, err := s.out.ReadString('\n')
		if err != nil {
			t.Fatal(err)
		}
		s.redirect = strings.TrimSpace(strings.TrimPrefix(line, "redirecting "))
	}
	go io.Copy(io.Discard, s.out) // until the server ends
}

// startChild runs a server as a process. kill ends it with SIGKILL.
func startChild(t *testing.T, environment []string, arguments ...string) (s *server, kill func()) {
	t.Helper()
	command := exec.CommandContext(t.Context(), os.Args[0], arguments...)
	command.Env = append(append(os.Environ(), childVariable+"=1"), environment...)
	command.Stderr = t.Output()
	command.SysProcAttr = child.Attributes()
	out, err := command.StdoutPipe()
	if err == nil {
		err = command.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	kill = sync.OnceFunc(func() {
		command.Process.Kill()
		command.Wait()
	})
	t.Cleanup(kill)
	s = &server{out: bufio.NewReader(out)}
	s.readURL(t, false)
	return s, kill
}

// Every documented flag is there, by both names, with its default.
func TestConfig_DocumentedFlags(t *testing.T) {
	for _, arguments := range []string{
		"--domains a.example --domains b.example --email x@a.example --cache . --limit 7 --wwwroot static --staging --port 8443 --redirect",
		"-d A.example -d B.Example -e x@a.example -c . -l 7 -w static -s -p 8443 -r",
	} {
		c, err := parseConfig(strings.Fields(arguments), io.Discard)
		if err != nil {
			t.Fatal(err)
		}
		if !slices.Equal(c.domains, []string{"a.example", "b.example"}) || c.email != "x@a.example" || c.cache != "." || c.limit != 7 ||
			c.wwwroot != "static" || c.acme != stagingURL || c.port != 8443 || !c.redirect {
			t.Errorf("%s: got %+v", arguments, c)
		}
	}
	c, err := parseConfig(strings.Fields("--domains your.domain --cache . --wwwroot static"), io.Discard)
	if err != nil || c.heartbeat != 30*time.Second || c.limit != 200 || c.port != 443 || c.staging || c.redirect || c.acme != "https://acme-v02.api.letsencrypt.org/directory" {
		t.Errorf("got %+v and %v", c, err)
	}
	for _, help := range []string{"-h", "--help"} {
		var out strings.Builder
		if _, err := parseConfig([]string{help}, &out); !errors.Is(err, flag.ErrHelp) || !strings.Contains(out.String(), "-domains DOMAIN") {
			t.Errorf("%s: got %v and %s", help, err, &out)
		}
	}
}

func TestConfig_Bad(t *testing.T) {
	for arguments, want := range map[string]string{
		"":                        "--domains is missing",
		"-d a.example":            "--wwwroot is missing",
		"-dev stray":              "unexpected argument",
		"-dev -limit -1":          "invalid value",
		"-dev -limit many":        "invalid value",
		"-dev -port x":            "invalid value",
		"-dev -p":                 "needs an argument",
		"-dev -unknown":           "not defined",
		"-dev -peer nonsense":     "must begin with ws:// or wss://",
		"-dev -peer http://a":     "must begin with ws:// or wss://",
		"-dev -port 0 -store x":   "use mem:, bolt:FILE or redis://HOST:PORT",
		"-dev -port 0 -cert x":    "no such file",
		"-dev -port 70000":        "invalid port",
		"-dev -port 0 -wwwroot x": "no such file",
	} {
		c, err := parseConfig(strings.Fields(arguments), io.Discard)
		if err == nil {
			ctx, cancel := context.WithCancel(t.Context())
			cancel()
			err = run(ctx, c, "", io.Discard, slog.New(slog.DiscardHandler))
		}
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: got %v, want %q", arguments, err, want)
		}
	}
	t.Setenv("RUST_LOG", "loud")
	if _, err := parseConfig([]string{"-dev"}, io.Discard); err == nil {
		t.Error("RUST_LOG=loud is accepted")
	}
	t.Setenv("RUST_LOG", "debug")
	if c, err := parseConfig([]string{"-dev"}, io.Discard); err != nil || c.level != slog.LevelDebug {
		t.Errorf("got %v and %v", c.level, err)
	}
}
