package promises

import (
	"fmt"
	"math/rand/v2"
	"sync"

	"github.com/safe-go/safe/internal/wire"
	"github.com/safe-go/safe/realtime"
	"github.com/safe-go/safe/replay"
)

// load is a random workload. It ends idle: no proposal is under way, no
// connection breaks any more, and every subscriber is current.
type load struct {
	options realtime.Options
	// subscribers is the number of raw subscribers. Each makes this many
	// connections, one after the other; all but the last end after a random number
	// of frames, at most frames.
	subscribers, connections, frames int
	// stalls makes raw subscribers stop reading at random, for at most this many
	// commits; 0 for never.
	stalls int
	// patched and conflated are how many of the raw subscribers ask for patches, and
	// for conflation.
	patched, conflated int
	// clients is the number of Go clients, whose connections break.
	clients int
	// proposers is the number of raw connections that send this many proposals
	// each, some of them twice under one key. Half of the Go clients propose as
	// well.
	proposers, proposals int
	// size is the largest document, in bytes.
	size int
	// updates and removals are made by the server while clients propose.
	updates, removals int
}

func (s load) run(h *harness, seed uint64) {
	number := uint64(0)
	random := func() *rand.Rand {
		number++
		return rand.New(rand.NewPCG(seed, number))
	}
	// Subscribers start first, so that they see the whole workload.
	var subscribers, proposers sync.WaitGroup
	var mu sync.Mutex
	var last []*rawConn // the last connection of each raw subscriber
	idle := make(chan struct{})
	for i := range s.subscribers {
		rng := random()
		subscribers.Go(func() {
			// Some subscribers ask for both, and some for one of the two.
			asks := asks{i < s.patched, i >= s.subscribers-s.conflated}
			c := s.subscribeRaw(h, fmt.Sprint("subscriber-", i), asks, rng, idle)
			mu.Lock()
			defer mu.Unlock()
			last = append(last, c)
		})
	}
	var clients []*goClient
	for i := range s.clients {
		c := h.newGoClient(fmt.Sprint("client-", i), 64)
		c.network.breakAfter(random(), 64<<10)
		for _, id := range everyID {
			c.watch(h.ctx, id)
		}
		clients = append(clients, c)
	}
	for i := range s.proposers {
		rng := random()
		proposers.Go(func() { s.proposeRaw(h, fmt.Sprint("proposer-", i), rng) })
	}
	for _, c := range clients[:len(clients)/2] {
		rng := random()
		proposers.Go(func() { s.proposeThrough(c, rng) })
	}
	var administration sync.WaitGroup
	rng, proposed := random(), make(chan struct{})
	administration.Go(func() { s.administer(h, rng, proposed) })

	proposers.Wait()
	close(proposed)
	administration.Wait()
	close(idle)
	subscribers.Wait()
	for _, c := range clients {
		c.network.repair()
	}
	s.awaitCurrent(h, last, clients)
}

// subscribeRaw makes the connections of a raw subscriber, the last one when idle
// is closed. It returns that one.
func (s load) subscribeRaw(h *harness, name string, asks asks, rng *rand.Rand, idle <-chan struct{}) *rawConn {
	cursors := make(map[string]string)
	var p *rawConn
	for range s.connections - 1 {
		select {
		case <-idle:
		default:
			p = h.connectAfter(p, name, asks)
			s.subscribeOnce(h, p, rng, cursors, idle)
			for _, id := range everyID {
				if cursor := p.cursor(id); cursor != "" {
					cursors[id] = cursor
				}
			}
		}
	}
	<-idle
	p = h.connectAfter(p, name, asks)
	for _, id := range everyID {
		p.subscribe(id, cursors[id])
	}
	return p
}

// subscribeOnce uses one connection of a raw subscriber and cuts it.
func (s load) subscribeOnce(h *harness, p *rawConn, rng *rand.Rand, cursors map[string]string, idle <-chan struct{}) {
	for _, id := range everyID {
		p.subscribe(id, since(rng, cursors[id]))
	}
	enough := rng.IntN(s.frames) + 1
	again := rng.IntN(enough)
	p.await(func() bool { return p.frames >= again }, idle)
	id := everyID[rng.IntN(len(everyID))]
	switch rng.IntN(4) {
	case 0: // subscribe again on the same connection
		p.subscribe(id, p.cursor(id))
	case 1:
		p.send(&wire.Unsubscribe{ShareDataID: id})
	case 2:
		p.send(&wire.Unsubscribe{ShareDataID: id})
		p.subscribe(id, p.cursor(id))
	}
	if s.stalls > 0 && rng.IntN(2) == 0 {
		resume := p.stall()
		h.awaitCommits(rng.IntN(s.stalls)+1, idle)
		resume()
	}
	p.await(func() bool { return p.frames >= enough }, idle)
	p.cut()
}

// since returns the cursor, or at random one that cannot be resumed from.
func since(rng *rand.Rand, cursor string) string {
	switch rng.IntN(12) {
	case 0:
		return ""
	case 1:
		return "no cursor at all"
	case 2:
		return "1-1" // of another epoch
	case 3:
		if c, err := replay.ParseCursor(cursor); err == nil {
			c.Revision += 1 << 40
			return c.String()
		}
	}
	return cursor
}

// proposeRaw sends proposals without waiting for their results, some of them
// twice.
func (s load) proposeRaw(h *harness, name string, rng *rand.Rand) {
	p := h.connect(name)
	for _, id := range everyID[:rng.IntN(len(everyID)+1)] {
		p.subscribe(id, "")
	}
	for i := range s.proposals {
		id := everyID[rng.IntN(len(everyID))]
		functionID, data := proposal(rng, id, s.size)
		key := ""
		if rng.IntN(2) == 0 {
			key = fmt.Sprint(name, "-", i)
		}
		p.propose(id, functionID, data, key)
		if key != "" && rng.IntN(4) == 0 {
			p.propose(id, functionID, data, key)
		}
		if rng.IntN(16) == 0 && !p.awaitReplies() {
			// The connection has ended, as it does when it subscribes to a ShareData
			// that is being re-created.
			p = h.connect(name)
		}
	}
	p.awaitReplies()
	p.cut()
}

// proposeThrough proposes through a Go client, one proposal after the other.
func (s load) proposeThrough(c *goClient, rng *rand.Rand) {
	for i := range s.proposals {
		id := everyID[rng.IntN(len(everyID))]
		functionID, data := proposal(rng, id, s.size)
		c.propose(id, functionID, data, fmt.Sprint(c.name, "-", i))
	}
}

// administer updates and re-creates ShareData while clients propose, each time
// after a number of commits, and without waiting once proposed is closed.
func (s load) administer(h *harness, rng *rand.Rand, proposed <-chan struct{}) {
	changes := make([]func(id string), 0, s.updates+s.removals)
	for range s.updates {
		changes = append(changes, func(id string) { h.update(id, rng.Int64N(100)) })
	}
	for range s.removals {
		changes = append(changes, h.recreate)
	}
	rng.Shuffle(len(changes), func(i, j int) { changes[i], changes[j] = changes[j], changes[i] })
	every := max(s.proposers*s.proposals/(2*(len(changes)+1)), 1)
	for _, change := range changes {
		h.awaitCommits(every, proposed)
		change(everyID[rng.IntN(len(everyID))])
	}
}

// awaitCurrent waits until every subscriber is current, and closes all.
func (s load) awaitCurrent(h *harness, subscribers []*rawConn, clients []*goClient) {
	for _, id := range everyID {
		snapshot, err := h.manager.Get(h.ctx, id)
		if err != nil {
			h.t.Fatal(err)
		}
		head := snapshot.Cursor.String()
		for _, p := range subscribers {
			if !p.await(func() bool { return p.cursors[id] == head }, nil) {
				h.t.Errorf("a subscriber got to %s of %s instead of %s", p.cursor(id), id, head)
			}
		}
		for _, c := range clients {
			c.awaitCursor(id, head)
		}
	}
	for _, p := range subscribers {
		p.cut()
	}
	for _, c := range clients {
		c.client.Close()
		c.watching.Wait()
	}
}
