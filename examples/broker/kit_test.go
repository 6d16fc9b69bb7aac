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
	"net/http/httptest"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	goredis "github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/logging"
	"go.uber.org/goleak"
	"golang.org/x/crypto/bcrypt"

	"github.com/safe-go/safe/internal/child"
)

// The client of these tests is that of the standard library: it shares no code with the
// framework, and no types with the broker.

const (
	ann        = `{"username":"rust22","password":"rust","collection_id":"3ca76743-8d99-4d3f-b85c-633ea456f90c"}`
	annLogin   = `{"username":"rust22","password":"rust"}`
	collection = "3ca76743-8d99-4d3f-b85c-633ea456f90c"

	otherCollection = "d2f4a1c6-0b7e-4c55-9d43-52a0c1a4b9e8"
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

// response has the members of all responses.
type response struct {
	ID     string        `json:"id,omitempty"`
	JWT    string        `json:"jwt,omitempty"`
	Event  *clientEvent  `json:"event,omitempty"`
	Events []clientEvent `json:"events,omitzero"`
	Info   []clientEvent `json:"info,omitzero"`
}

// clientEvent is an event as the document shows it.
type clientEvent struct {
	ID           string          `json:"id"`
	UserID       string          `json:"user_id"`
	CollectionID string          `json:"collection_id"`
	Event        string          `json:"event"`
	Timestamp    int64           `json:"timestamp"`
	Published    bool            `json:"published"`
	Cancelled    bool            `json:"cancelled"`
	Data         json.RawMessage `json:"data"`
}

// service is a broker, and a user of it.
type service struct {
	*testing.T
	url  string
	jwt  string
	http *http.Client
}

// devConfig is that of -dev on a free port.
func devConfig(t *testing.T) config {
	t.Helper()
	c, err := parse([]string{"-dev", "-port", "0"}, "", io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// start runs a broker in this process until the end of the test. Passwords are hashed
// fast.
func start(t *testing.T, change func(*config)) *service {
	t.Helper()
	c := devConfig(t)
	c.bcryptCost = bcrypt.MinCost
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

// inside calls a function with a broker in this process, and a service of its endpoints.
// Passwords are hashed at a cost.
func inside(t *testing.T, bcryptCost int, use func(*broker, *service)) {
	t.Helper()
	c := devConfig(t)
	c.bcryptCost = bcryptCost
	err := withBroker(t.Context(), c, slog.New(slog.DiscardHandler), func(b *broker) error {
		server := httptest.NewServer(b.handler())
		defer server.Close()
		use(b, &service{T: t, url: server.URL, http: server.Client()})
		return nil
	})
	if err != nil {
		t.Error(err)
	}
}

// create creates a ShareData of a broker.
func create(t *testing.T, b *broker, id, kind string, state any) {
	t.Helper()
	if _, err := b.manager.CreateKind(t.Context(), id, kind, state); err != nil {
		t.Fatal(err)
	}
}

// stored returns the user of join as a broker has it.
func stored(t *testing.T, b *broker) user {
	t.Helper()
	u, err := load[user](t.Context(), b.manager, userPrefix+"rust22", errCredentials)
	if err != nil {
		t.Fatal(err)
	}
	return u
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

// want makes a request and decodes the response, which must be 200. Encoded again it must be
// the same text, so that names and their case are checked, which decoding ignores.
func (s *service) want(method, path, body string) (got response) {
	s.Helper()
	status, text := s.do(method, path, body)
	err := json.Unmarshal([]byte(text), &got)
	if again, _ := json.Marshal(got); err != nil || status != 200 || string(again) != text {
		s.Fatalf("%s %s: %d %s, %v", method, path, status, text, err)
	}
	return got
}

// join creates the user and logs in.
func (s *service) join() {
	s.Helper()
	s.do("POST", "/users", ann)
	s.jwt = s.want("POST", "/login", annLogin).JWT
}

// other creates another user, whose events are in another collection, and logs in.
func (s *service) other() *service {
	s.Helper()
	other := *s
	other.jwt = ""
	other.want("POST", "/users", strings.NewReplacer("rust22", "rust23", collection, otherCollection).Replace(ann))
	other.jwt = other.want("POST", "/login", strings.Replace(annLogin, "rust22", "rust23", 1)).JWT
	return &other
}

// insert inserts an event.
func (s *service) insert(name string, at time.Time, data string) clientEvent {
	s.Helper()
	return s.insertInto(collection, name, at, data)
}

func (s *service) insertInto(collectionID, name string, at time.Time, data string) clientEvent {
	s.Helper()
	body := fmt.Sprintf(`{"event":%q,"collection_id":%q,"timestamp":%d,"data":%s}`, name, collectionID, at.Unix(), data)
	return *s.want("POST", "/insert", body).Event
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
