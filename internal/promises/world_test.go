package promises

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"strconv"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/safe-go/safe/internal/checker"
	"github.com/safe-go/safe/internal/wire"
	"github.com/safe-go/safe/realtime"
	"github.com/safe-go/safe/replay"
	"github.com/safe-go/safe/sharedata"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// patience bounds a test that hangs; none comes near it.
const patience = 2 * time.Minute

// seedOf returns the seed of a test's random choices: a new one for every run,
// or that of SAFE_SEED, to make the same choices again.
func seedOf(t *testing.T) uint64 {
	t.Helper()
	seed := rand.Uint64()
	if text := os.Getenv("SAFE_SEED"); text != "" {
		var err error
		if seed, err = strconv.ParseUint(text, 10, 64); err != nil {
			t.Fatalf("SAFE_SEED: %v", err)
		}
	}
	t.Logf("SAFE_SEED=%d makes the same choices again", seed)
	return seed
}

// world is a server on a real socket and the recorder of all that happens.
type world struct {
	t        *testing.T
	ctx      context.Context
	recorder *checker.Recorder
	manager  *sharedata.Manager
	url      string
	release  func()                   // ends the functions that are held
	received func(wire.ServerMessage) // if not nil, is told of every frame to a peer

	mu        sync.Mutex
	committed int
	changed   chan struct{} // closed, and replaced, with every commit
}

// counters and documents are the ShareData of a world.
var (
	counters  = []string{"counter-0", "counter-1"}
	documents = []string{"document-0"}
	everyID   = append(append([]string{}, counters...), documents...)
)

func models() map[string]checker.Model {
	models := make(map[string]checker.Model)
	for _, id := range counters {
		models[id] = checker.Counter
	}
	for _, id := range documents {
		models[id] = checker.Register
	}
	return models
}

type counter struct {
	Value int64 `json:"value"`
}

type addInput struct {
	By int64 `json:"by"`
}

// kinds are the functions of a world. "hold" waits until held is closed.
func kinds(held <-chan struct{}) []sharedata.Kind {
	return []sharedata.Kind{
		sharedata.NewKind("counter",
			sharedata.NewFunction("add", func(_ context.Context, c counter, in addInput) (counter, error) {
				if c.Value+in.By < 0 {
					return c, sharedata.Reject("below zero")
				}
				c.Value += in.By
				return c, nil
			}),
			sharedata.NewFunction("panic", func(context.Context, counter, json.RawMessage) (counter, error) {
				panic("as it was asked to")
			}),
			sharedata.NewFunction("block", func(ctx context.Context, c counter, _ json.RawMessage) (counter, error) {
				<-ctx.Done()
				return c, ctx.Err()
			}).WithTimeout(50*time.Millisecond),
			sharedata.NewFunction("ignore its deadline", func(context.Context, counter, json.RawMessage) (counter, error) {
				<-held
				return counter{Value: -1}, nil
			}).WithTimeout(50*time.Millisecond),
			sharedata.NewFunction("hold", func(_ context.Context, c counter, _ json.RawMessage) (counter, error) {
				<-held
				return c, errors.New("it was held")
			}).WithTimeout(-1),
		),
		sharedata.NewKind("document",
			sharedata.NewRawFunction("set", func(_ context.Context, _, data json.RawMessage) (json.RawMessage, error) {
				if bytes.Equal(data, []byte("null")) {
					return nil, sharedata.Reject("not null")
				}
				return data, nil
			}),
		),
	}
}

// newWorld starts a server. A nil store is one that keeps everything.
func newWorld(t *testing.T, store replay.Store, options realtime.Options) *world {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	t.Cleanup(cancel)
	held := make(chan struct{})
	release := sync.OnceFunc(func() { close(held) })
	t.Cleanup(release)
	if store == nil {
		memory, err := replay.NewMemory(&replay.MemoryOptions{MaxEntries: -1, MaxBytes: -1})
		if err != nil {
			t.Fatal(err)
		}
		store = memory
	}
	manager, err := sharedata.NewManager(&sharedata.Options{Store: store, Kinds: kinds(held)})
	if err != nil {
		t.Fatal(err)
	}
	w := &world{t: t, ctx: ctx, recorder: checker.NewRecorder(), manager: manager, release: release, changed: make(chan struct{})}
	manager.ObserveAll(w.recorder)
	manager.ObserveAll(sharedata.ObserverFunc(w.count))
	for _, id := range everyID {
		w.create(id)
	}
	options.Logger = slog.New(slog.DiscardHandler)
	server, err := realtime.NewServer(manager, &options)
	if err != nil {
		t.Fatal(err)
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	httpServer := &http.Server{Handler: server, ReadHeaderTimeout: patience}
	served := make(chan struct{})
	go func() {
		defer close(served)
		httpServer.Serve(narrow{listener})
	}()
	t.Cleanup(func() {
		httpServer.Close()
		<-served
		if err := server.Close(); err != nil {
			t.Error(err)
		}
		if err := manager.Close(); err != nil {
			t.Error(err)
		}
	})
	w.url = "ws://" + listener.Addr().String()
	return w
}

func (w *world) count(events []sharedata.Event) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.committed += len(events)
	close(w.changed)
	w.changed = make(chan struct{})
}

// awaitCommits waits until so many more entries are committed, or stop is
// closed.
func (w *world) awaitCommits(n int, stop <-chan struct{}) {
	w.mu.Lock()
	enough := w.committed + n
	w.mu.Unlock()
	for {
		w.mu.Lock()
		committed, changed := w.committed, w.changed
		w.mu.Unlock()
		if committed >= enough {
			return
		}
		select {
		case <-changed:
		case <-stop:
			return
		case <-w.ctx.Done():
			return
		}
	}
}

func (w *world) create(id string) {
	kind, state := "document", any(nil)
	if isCounter(id) {
		kind, state = "counter", counter{}
	}
	if _, err := w.manager.CreateKind(w.ctx, id, kind, state); err != nil {
		w.t.Errorf("create: %v", err)
	}
}

// recreate removes the ShareData and creates it anew.
func (w *world) recreate(id string) {
	w.recorder.Removing(id)
	if err := w.manager.Remove(w.ctx, id); err != nil {
		w.t.Errorf("remove: %v", err)
	}
	w.create(id)
}

func (w *world) update(id string, n int64) {
	var state any = n
	if isCounter(id) {
		state = counter{Value: n}
	}
	if _, err := w.manager.Update(w.ctx, id, state); err != nil {
		w.t.Errorf("update: %v", err)
	}
}

func isCounter(id string) bool { return id[0] == 'c' }

// proposal makes up something to propose to the ShareData.
func proposal(rng *rand.Rand, id string, size int) (functionID string, data json.RawMessage) {
	switch {
	case isCounter(id) && rng.IntN(20) == 0:
		return []string{"panic", "no such function"}[rng.IntN(2)], json.RawMessage("1")
	case isCounter(id):
		return "add", json.RawMessage(`{"by":` + strconv.Itoa(rng.IntN(9)-4) + `}`)
	case rng.IntN(10) == 0:
		return "set", json.RawMessage("null")
	}
	pad := bytes.Repeat([]byte("x"), rng.IntN(size+1))
	return "set", json.RawMessage(`{"n":` + strconv.Itoa(rng.IntN(1000)) + `,"pad":"` + string(pad) + `"}`)
}

// judge fails the test where a promise was broken. atLeast is what must have
// been tested for the verdict to mean something.
func (w *world) judge(options checker.Options, atLeast checker.Summary) {
	w.t.Helper()
	for _, id := range everyID {
		if snapshot, err := w.manager.Get(w.ctx, id); err == nil {
			w.recorder.Final(snapshot)
		}
	}
	options.FreshReads, options.Durable = true, true
	options.Models = models()
	if violations := w.recorder.Check(options); len(violations) > 0 {
		w.t.Errorf("%v", violations)
	}
	got := w.recorder.Summary()
	w.t.Logf("judged: %v", got)
	for _, figure := range []struct {
		name         string
		got, atLeast int
	}{
		{"snapshots", got.States, atLeast.States},
		{"resumptions", got.Resumed, atLeast.Resumed},
		{"gaps", got.Gaps, atLeast.Gaps},
		{"live frames", got.Live, atLeast.Live},
		{"replayed frames", got.Replayed, atLeast.Replayed},
		{"removals", got.Removals, atLeast.Removals},
		{"disconnects", got.Disconnects, atLeast.Disconnects},
		{"overflows", got.FellBehind, atLeast.FellBehind},
		{"accepted proposals", got.Accepted, atLeast.Accepted},
		{"rejected proposals", got.Rejected, atLeast.Rejected},
		{"refused proposals", got.Refused, atLeast.Refused},
		{"duplicates", got.Duplicates, atLeast.Duplicates},
	} {
		if figure.got < figure.atLeast {
			w.t.Errorf("only %d %s: the test needs at least %d to mean something", figure.got, figure.name, figure.atLeast)
		}
	}
}

// narrow accepts connections with small send buffers, so that a reader that
// stalls is felt soon.
type narrow struct{ net.Listener }

const narrowBytes = 8 << 10

func (n narrow) Accept() (net.Conn, error) {
	conn, err := n.Listener.Accept()
	if tcp, ok := conn.(*net.TCPConn); ok {
		tcp.SetWriteBuffer(narrowBytes)
	}
	return conn, err
}

// dialNarrow connects with a small receive buffer.
func dialNarrow(ctx context.Context, network, address string) (net.Conn, error) {
	conn, err := new(net.Dialer).DialContext(ctx, network, address)
	if tcp, ok := conn.(*net.TCPConn); ok {
		tcp.SetReadBuffer(narrowBytes)
	}
	return conn, err
}

var narrowHTTP = &http.Client{Transport: &http.Transport{DialContext: dialNarrow}}
