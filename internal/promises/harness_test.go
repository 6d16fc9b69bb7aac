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

// testTimeout ends a test that hangs.
const testTimeout = 2 * time.Minute

// seedOf returns the seed of a test's random choices: that of the environment
// variable SAFE_SEED, or a random one.
func seedOf(t *testing.T) uint64 {
	t.Helper()
	seed := rand.Uint64()
	if text := os.Getenv("SAFE_SEED"); text != "" {
		var err error
		if seed, err = strconv.ParseUint(text, 10, 64); err != nil {
			t.Fatalf("SAFE_SEED: %v", err)
		}
	}
	t.Logf("SAFE_SEED=%d repeats these random choices", seed)
	return seed
}

// harness is a server on a real socket, and the recorder of its clients.
type harness struct {
	t        *testing.T
	ctx      context.Context
	recorder *checker.Recorder
	manager  *sharedata.Manager
	url      string
	address  string                   // in url
	stop     func()                   // stops the server and its manager
	release  func()                   // ends the runs of the function "hold"
	received func(wire.ServerMessage) // if not nil, is called with every frame to a rawConn

	mu        sync.Mutex
	committed int
	changed   chan struct{} // closed, and replaced, with every commit
}

// counters and documents are the ShareData of a harness.
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

// kinds are the functions of a harness. "hold" blocks until held is closed.
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
				panic("as proposed")
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
				return c, errors.New("it was blocked")
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

// newHarness starts a server. A nil store is a replay.Memory without bounds.
func newHarness(t *testing.T, store replay.Store, options realtime.Options) *harness {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), testTimeout)
	t.Cleanup(cancel)
	h := &harness{t: t, ctx: ctx, recorder: checker.NewRecorder(), changed: make(chan struct{})}
	if store == nil {
		memory, err := replay.NewMemory(&replay.MemoryOptions{MaxEntries: -1, MaxBytes: -1})
		if err != nil {
			t.Fatal(err)
		}
		store = memory
	}
	h.start(store, options)
	for _, id := range everyID {
		h.create(id)
	}
	return h
}

// start starts a server, at first or after stop.
func (h *harness) start(store replay.Store, options realtime.Options) {
	t := h.t
	t.Helper()
	held := make(chan struct{})
	h.release = sync.OnceFunc(func() { close(held) })
	manager, err := sharedata.NewManager(&sharedata.Options{Store: store, Kinds: append(kinds(held), listKind)})
	if err != nil {
		t.Fatal(err)
	}
	h.manager = manager
	manager.ObserveAll(h.recorder)
	manager.ObserveAll(sharedata.ObserverFunc(h.count))
	options.Logger = slog.New(slog.DiscardHandler)
	server, err := realtime.NewServer(manager, &options)
	if err != nil {
		t.Fatal(err)
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	httpServer := &http.Server{Handler: server, ReadHeaderTimeout: testTimeout}
	served := make(chan struct{})
	go func() {
		defer close(served)
		httpServer.Serve(smallBufferListener{listener})
	}()
	release := h.release
	h.stop = sync.OnceFunc(func() {
		release()
		httpServer.Close()
		<-served
		if err := server.Close(); err != nil {
			t.Error(err)
		}
		if err := manager.Close(); err != nil {
			t.Error(err)
		}
	})
	t.Cleanup(h.stop)
	h.address = listener.Addr().String()
	h.url = "ws://" + h.address
}

func (h *harness) count(events []sharedata.Event) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.committed += len(events)
	close(h.changed)
	h.changed = make(chan struct{})
}

// awaitCommits waits until n more entries are committed, or stop is closed.
func (h *harness) awaitCommits(n int, stop <-chan struct{}) {
	h.mu.Lock()
	enough := h.committed + n
	h.mu.Unlock()
	for {
		h.mu.Lock()
		committed, changed := h.committed, h.changed
		h.mu.Unlock()
		if committed >= enough {
			return
		}
		select {
		case <-changed:
		case <-stop:
			return
		case <-h.ctx.Done():
			return
		}
	}
}

func (h *harness) create(id string) {
	kind, state := "document", any(nil)
	if isCounter(id) {
		kind, state = "counter", counter{}
	}
	if _, err := h.manager.CreateKind(h.ctx, id, kind, state); err != nil {
		h.t.Errorf("create: %v", err)
	}
}

// recreate removes the ShareData and creates it again.
func (h *harness) recreate(id string) {
	removed := h.recorder.Removing(id)
	if err := h.manager.Remove(h.ctx, id); err != nil {
		h.t.Errorf("remove: %v", err)
	}
	removed(replay.NewEpoch(0))
	h.create(id)
}

func (h *harness) update(id string, n int64) {
	var state any = n
	if isCounter(id) {
		state = counter{Value: n}
	}
	if _, err := h.manager.Update(h.ctx, id, state); err != nil {
		h.t.Errorf("update: %v", err)
	}
}

func isCounter(id string) bool { return id[0] == 'c' }

// proposal returns a random proposal to the ShareData.
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

// check fails the test if a promise was broken, or if less happened than
// atLeast, so that the test proved nothing.
func (h *harness) check(options checker.Options, atLeast checker.Summary) {
	h.t.Helper()
	for _, id := range everyID {
		if snapshot, err := h.manager.Get(h.ctx, id); err == nil {
			h.recorder.Final(snapshot)
		}
	}
	options.FreshReads, options.Durable = true, true
	options.Models = models()
	if violations := h.recorder.Check(options); len(violations) > 0 {
		h.t.Errorf("%v", violations)
	}
	got := h.recorder.Summary()
	h.t.Logf("checked: %v", got)
	for _, figure := range []struct {
		name         string
		got, atLeast int
	}{
		{"snapshots", got.States, atLeast.States},
		{"resumptions", got.Resumed, atLeast.Resumed},
		{"gaps", got.Gaps, atLeast.Gaps},
		{"skips", got.Skips, atLeast.Skips},
		{"states left out", got.LeftOut, atLeast.LeftOut},
		{"states computed by patches", got.Patched, atLeast.Patched},
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
			h.t.Errorf("only %d %s: the test proves nothing with fewer than %d", figure.got, figure.name, figure.atLeast)
		}
	}
}

// smallBufferListener accepts connections with small send buffers, so that a
// stalled reader blocks the server soon.
type smallBufferListener struct{ net.Listener }

const smallBuffer = 8 << 10

func (n smallBufferListener) Accept() (net.Conn, error) {
	conn, err := n.Listener.Accept()
	if tcp, ok := conn.(*net.TCPConn); ok {
		tcp.SetWriteBuffer(smallBuffer)
	}
	return conn, err
}

// dialSmallBuffer connects with a small receive buffer.
func dialSmallBuffer(ctx context.Context, network, address string) (net.Conn, error) {
	conn, err := new(net.Dialer).DialContext(ctx, network, address)
	if tcp, ok := conn.(*net.TCPConn); ok {
		tcp.SetReadBuffer(smallBuffer)
	}
	return conn, err
}

var smallBufferClient = &http.Client{Transport: &http.Transport{DialContext: dialSmallBuffer}}
