package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
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

// The client of these tests is that of the standard library: it shares no code with the
// framework.

const (
	ann        = `{"username":"rust22","password":"rust","collection_id":"3ca76743-8d99-4d3f-b85c-633ea456f90c"}`
	annLogin   = `{"username":"rust22","password":"rust"}`
	collection = "3ca76743-8d99-4d3f-b85c-633ea456f90c"
	// programVariable is set where this program is to be a broker, or a client of TestHold.
	programVariable = "BROKER_TEST_PROGRAM"
)

func TestMain(m *testing.M) {
	goredis.SetLogger(&logging.VoidLogger{})
	switch os.Getenv(programVariable) {
	case "broker":
		main()
		return
	case "client":
		hold()
		return
	}
	goleak.VerifyTestMain(m,
		// The client ends it by itself, up to a second after it was closed.
		goleak.IgnoreAnyFunction("github.com/redis/go-redis/v9/internal/pool.(*ConnPool).tryDial"))
}

// service is a broker, and a user of it.
type service struct {
	*testing.T
	url  string
	jwt  string
	http *http.Client
}

// start runs a broker in this process until the end of the test. Passwords are hashed
// fast.
func start(t *testing.T, change func(*config)) *service {
	t.Helper()
	c, err := parse([]string{"-dev", "-port", "0"}, "", io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	c.bcryptCost = 4
	if change != nil {
		change(&c)
	}
	ctx, cancel := context.WithCancel(context.Background())
	out, in := io.Pipe()
	ended := make(chan error, 1)
	go func() {
		err := run(ctx, c, in, slog.New(slog.DiscardHandler))
		in.CloseWithError(errors.Join(err, io.EOF))
		ended <- err
	}()
	s := &service{T: t, url: address(t, out), http: &http.Client{Transport: &http.Transport{}}}
	go io.Copy(io.Discard, out)
	t.Cleanup(func() {
		s.http.CloseIdleConnections()
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("the broker ended with %v", err)
		}
	})
	return s
}

// address reads where a broker listens.
func address(t *testing.T, out io.Reader) string {
	t.Helper()
	line, err := bufio.NewReaderSize(out, 16).ReadString('\n')
	url, found := strings.CutPrefix(strings.TrimSpace(line), "listening on ")
	if !found {
		t.Fatalf("the first line is %q; %v", line, err)
	}
	return strings.Replace(url, "[::]", "127.0.0.1", 1)
}

// process starts a broker as a process of its own.
func process(t *testing.T, savePath string, args ...string) (*service, *exec.Cmd) {
	t.Helper()
	c := exec.Command(os.Args[0], append([]string{"-origin", "http://localhost:3000", "-secret", "secret"}, args...)...)
	c.Env = append(os.Environ(), programVariable+"=broker", "SAVE_PATH="+savePath)
	c.SysProcAttr = child.Attributes()
	c.Stderr = os.Stderr
	out, err := c.StdoutPipe()
	if err == nil {
		err = c.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { kill(c) })
	s := &service{T: t, url: address(t, out), http: &http.Client{Transport: &http.Transport{}}}
	t.Cleanup(s.http.CloseIdleConnections)
	return s, c
}

// kill is kill -9.
func kill(c *exec.Cmd) {
	_ = c.Process.Kill()
	_ = c.Wait()
}

// do makes a request, in the name of the user if there is one.
func (s *service) do(method, path, body string, header ...string) (status int, response string) {
	s.Helper()
	r, err := http.NewRequestWithContext(s.Context(), method, s.url+path, strings.NewReader(body))
	if err != nil {
		s.Fatal(err)
	}
	if s.jwt != "" {
		r.Header.Set("Authorization", "Bearer "+s.jwt)
	}
	for i := 0; i < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	got, err := s.http.Do(r)
	if err != nil {
		s.Fatal(err)
	}
	defer got.Body.Close()
	text, err := io.ReadAll(got.Body)
	if err != nil {
		s.Fatal(err)
	}
	return got.StatusCode, strings.TrimSpace(string(text))
}

// want makes a request and decodes the response, which must be 200.
func (s *service) want(value any, method, path, body string) {
	s.Helper()
	status, text := s.do(method, path, body)
	if err := json.Unmarshal([]byte(text), value); err != nil || status != 200 {
		s.Fatalf("%s %s: %d %s", method, path, status, text)
	}
}

// join creates the user and logs in.
func (s *service) join() {
	s.Helper()
	s.do("POST", "/users", ann)
	var token struct{ JWT string }
	s.want(&token, "POST", "/login", annLogin)
	s.jwt = token.JWT
}

// insert inserts an event.
func (s *service) insert(name string, at time.Time, data string) event {
	s.Helper()
	var response struct{ Event event }
	s.want(&response, "POST", "/insert", fmt.Sprintf(`{"event":%q,"collection_id":%q,"timestamp":%d,"data":%s}`, name, collection, at.Unix(), data))
	return response.Event
}

// stream is an event stream.
type stream struct {
	*testing.T
	body *bufio.Reader
	last string // the id of the last event
	stop func()
}

// events requests the event stream, from after an event if its id is not empty.
func (s *service) events(last string) *stream {
	s.Helper()
	ctx, cancel := context.WithCancel(s.Context())
	r, _ := http.NewRequestWithContext(ctx, "GET", s.url+"/events", nil)
	if last != "" {
		r.Header.Set("Last-Event-ID", last)
	}
	response, err := s.http.Do(r)
	if err != nil {
		s.Fatal(err)
	}
	stop := func() { cancel(); response.Body.Close() }
	s.Cleanup(stop)
	if got := response.Header.Get("Content-Type"); response.StatusCode != 200 || got != "text/event-stream" {
		s.Fatalf("got %s, %s", response.Status, got)
	}
	return &stream{s.T, bufio.NewReader(response.Body), last, stop}
}

// next reads the next event (HTML Standard, section 9.2.6); it fails when the stream ends.
func (s *stream) next() (name, data string, err error) {
	for {
		line, err := s.body.ReadString('\n')
		if err != nil {
			return "", "", err
		}
		field, value, _ := strings.Cut(strings.TrimSuffix(line, "\n"), ": ")
		switch field {
		case "":
			if data != "" {
				return name, data, nil
			}
			name = ""
		case "event":
			name = value
		case "data":
			data += value
		case "id":
			s.last = value
		}
	}
}

// wantEvents reads events, each as its name and its data.
func (s *stream) wantEvents(want ...string) {
	s.Helper()
	for _, w := range want {
		if name, data, err := s.next(); name+" "+data != w {
			s.Fatalf("got %s %s, %v; want %s", name, data, err, w)
		}
	}
}
