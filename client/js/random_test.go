package js_test

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"sync/atomic"
	"testing"
	"time"

	"github.com/safe-go/safe/internal/checker"
	"github.com/safe-go/safe/sharedata"
)

// seedOf returns the seed of a test's random choices: that of the environment variable
// SAFE_SEED, or a random one.
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

// Whatever fails, what the clients see is ordered, gapless and once, or they report a
// gap; their states are the server's; and each proposal takes effect at most once.
func TestRandomFaults_Node(t *testing.T) { randomFaults(t, startNode, "websocket") }

func TestRandomFaults_NodeSSE(t *testing.T) { randomFaults(t, startNode, "sse") }

func TestRandomFaults_Browser(t *testing.T) { randomFaults(t, startBrowser, "websocket") }

func TestRandomFaults_BrowserSSE(t *testing.T) { randomFaults(t, startBrowser, "sse") }

var ids = []string{"counter", "list"}

func randomFaults(t *testing.T, start func(t *testing.T, url string), transport string) {
	random := rand.New(rand.NewPCG(seedOf(t), 1))
	s := newServer(t)
	for _, id := range ids {
		s.create(id)
	}
	d := newDriver(t, s.ctx, s.recorder, start)
	names := []string{"a", "b", "slow"}
	for _, name := range names {
		options := map[string]any{
			"transport": transport, "timeoutMs": 20_000, "heartbeatMs": 500, "connectTimeoutMs": 1000,
			"backoff": map[string]any{"initialMs": 20, "maxMs": 200},
		}
		if name == "slow" {
			options["eventBuffer"] = 8
		}
		d.send(map[string]any{"do": "open", "client": name, "url": s.url() + "/realtime", "options": options, "follow": ids, "slow": name == "slow"})
	}

	pace := time.NewTicker(8 * time.Millisecond)
	defer pace.Stop()
	var keys, verdicts atomic.Int64
	for range 600 {
		<-pace.C
		id := ids[random.IntN(len(ids))]
		switch n := random.IntN(200); {
		case n < 140:
			p := checker.Proposal{Proposer: names[random.IntN(len(names))], ShareData: id, Key: fmt.Sprint("key-", keys.Add(1))}
			p.Function, p.Data = randomProposal(random, id)
			d.propose(p, func(a answer) {
				if a.Result != nil {
					verdicts.Add(1)
				}
				if n < 8 && a.Result != nil { // Repeat it.
					go d.propose(p, func(answer) {})
				}
			})
		case n < 150:
			s.listener.cut()
		case n < 160:
			s.listener.set(false, 200+random.IntN(8000))
		case n < 164:
			s.listener.set(true, 0)
		case n < 175:
			s.listener.set(false, 0)
		case n < 178:
			s.restart()
		case n < 180:
			s.recreate(id)
		case n < 184:
			for range window + 10 {
				s.change(id)
			}
		case n < 188:
			s.update(id, map[string]json.RawMessage{"counter": json.RawMessage(`{"value":5}`), "list": json.RawMessage(`{"pad":"short","items":[1,2,3]}`)}[id])
		case n < 194:
			d.send(map[string]any{"do": "restart", "client": names[random.IntN(len(names))]})
		}
	}
	s.listener.set(false, 0)
	d.await("all proposals have ended", func() bool { return len(d.waiting) == 0 })
	for _, id := range ids {
		awaitCurrent(d, s, names, id)
		s.recreate(id)
		head := awaitCurrent(d, s, names, id)
		s.recordHistory(id)
		s.recorder.Final(head)
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	violations := s.recorder.Check(checker.Options{
		Window: window, Complete: true, Durable: true, Attributed: true, FreshReads: true,
		Models: map[string]checker.Model{"counter": checker.Counter},
	})
	for _, violation := range violations[:min(len(violations), 5)] {
		t.Error(violation)
	}
	t.Logf("%d verdicts; %v; seen %v", verdicts.Load(), s.recorder.Summary(), d.seen)
	for what, least := range map[string]int{"resumed": 20, "replayed": 20, "gap": 5, "patch": 100, "removed": 6} {
		if d.seen[what] < least {
			t.Errorf("the faults led to %d %s, want at least %d to mean anything", d.seen[what], what, least)
		}
	}
	if least := int64(100); verdicts.Load() < least {
		t.Errorf("there were %d verdicts, want at least %d", verdicts.Load(), least)
	}
}

// awaitCurrent makes a change and waits until all clients have seen it.
func awaitCurrent(d *driver, s *server, names []string, id string) sharedata.Snapshot {
	s.change(id)
	head, err := s.manager.Get(s.ctx, id)
	if err != nil {
		s.t.Fatal(err)
	}
	d.await("all clients are current in "+id, func() bool {
		return !slices.ContainsFunc(names, func(name string) bool { return d.cursors[name+"/"+id] != head.Cursor.String() })
	})
	return head
}

func randomProposal(random *rand.Rand, id string) (function string, data json.RawMessage) {
	if id == "list" {
		return "push", json.RawMessage(strconv.Itoa(random.IntN(1000)))
	}
	return "add", fmt.Appendf(nil, `{"by":%d}`, random.IntN(9)-3)
}
