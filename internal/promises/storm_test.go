package promises

import (
	"fmt"
	"math/rand/v2"
	"sync"

	"github.com/safe-go/safe/internal/wire"
	"github.com/safe-go/safe/realtime"
	"github.com/safe-go/safe/replay"
)

// storm is a run of random clients that ends in calm: nobody proposes any more,
// every connection holds, and every subscriber gets to the end.
type storm struct {
	options realtime.Options
	// peers are raw subscribers. Each lives through so many connections, of
	// which all but the last end after a random number of frames.
	peers, connections, frames int
	// stalls makes peers stop reading now and then, for at most so many commits.
	stalls int
	// users subscribe through the Go client, over lines that break.
	users int
	// proposers are raw connections, each of which sends so many proposals,
	// some of them twice under one key; half of the users propose as well.
	proposers, proposals int
	// size is the largest document, in bytes.
	size int
	// updates and removals are made while the others propose.
	updates, removals int
}

func (s storm) blow(w *world, seed uint64) {
	number := uint64(0)
	random := func() *rand.Rand {
		number++
		return rand.New(rand.NewPCG(seed, number))
	}
	// Subscribers first, so that there is something to see from the beginning.
	var subscribers, proposers sync.WaitGroup
	var last sync.Mutex
	var final []*peer // the last connection of each peer
	calm := make(chan struct{})
	for i := range s.peers {
		rng := random()
		subscribers.Go(func() {
			p := s.live(w, fmt.Sprint("peer-", i), rng, calm)
			last.Lock()
			defer last.Unlock()
			final = append(final, p)
		})
	}
	var users []*user
	for i := range s.users {
		u := w.user(fmt.Sprint("user-", i), 64)
		u.line.breakAfter(random(), 64<<10)
		for _, id := range everyID {
			u.watch(w.ctx, id, nil)
		}
		users = append(users, u)
	}
	for i := range s.proposers {
		rng := random()
		proposers.Go(func() { s.proposeRaw(w, fmt.Sprint("proposer-", i), rng) })
	}
	for _, u := range users[:len(users)/2] {
		rng := random()
		proposers.Go(func() { s.proposeAs(w, u, rng) })
	}
	var upheaval sync.WaitGroup
	rng, over := random(), make(chan struct{})
	upheaval.Go(func() { s.upheave(w, rng, over) })

	proposers.Wait()
	close(over)
	upheaval.Wait()
	close(calm)
	subscribers.Wait()
	for _, u := range users {
		u.line.hold()
	}
	s.settle(w, final, users)
}

// live is the life of a raw subscriber. It returns its last connection.
func (s storm) live(w *world, name string, rng *rand.Rand, calm <-chan struct{}) *peer {
	cursors := make(map[string]string)
	for range s.connections - 1 {
		select {
		case <-calm:
		default:
			p := s.visit(w, name, rng, cursors, calm)
			for _, id := range everyID {
				if cursor := p.cursor(id); cursor != "" {
					cursors[id] = cursor
				}
			}
		}
	}
	<-calm
	p := w.connect(name)
	for _, id := range everyID {
		p.subscribe(id, cursors[id])
	}
	return p
}

// visit is one connection that does not last.
func (s storm) visit(w *world, name string, rng *rand.Rand, cursors map[string]string, calm <-chan struct{}) *peer {
	p := w.connect(name)
	for _, id := range everyID {
		p.subscribe(id, since(rng, cursors[id]))
	}
	enough := rng.IntN(s.frames) + 1
	again := rng.IntN(enough)
	p.await(func() bool { return p.frames >= again }, calm)
	id := everyID[rng.IntN(len(everyID))]
	switch rng.IntN(4) {
	case 0: // begin anew on the same connection
		p.subscribe(id, p.cursor(id))
	case 1:
		p.send(&wire.Unsubscribe{ShareDataID: id})
	case 2:
		p.send(&wire.Unsubscribe{ShareDataID: id})
		p.subscribe(id, p.cursor(id))
	}
	if s.stalls > 0 && rng.IntN(2) == 0 {
		resume := p.stall()
		w.awaitCommits(rng.IntN(s.stalls)+1, calm)
		resume()
	}
	p.await(func() bool { return p.frames >= enough }, calm)
	p.cut()
	return p
}

// since is mostly the cursor, and sometimes one that cannot be resumed from.
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

// proposeRaw sends proposals one behind the other without waiting, and some of
// them again.
func (s storm) proposeRaw(w *world, name string, rng *rand.Rand) {
	p := w.connect(name)
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
		if rng.IntN(16) == 0 && !p.answered() {
			// The connection is gone, maybe because one of its subscriptions
			// was to what was being created anew. The next one goes on.
			p = w.connect(name)
		}
	}
	p.answered()
	p.cut()
}

// proposeAs proposes through the Go client, one proposal after the other.
func (s storm) proposeAs(w *world, u *user, rng *rand.Rand) {
	for i := range s.proposals {
		id := everyID[rng.IntN(len(everyID))]
		functionID, data := proposal(rng, id, s.size)
		u.propose(id, functionID, data, fmt.Sprint(u.name, "-", i))
	}
}

// upheave updates and removes while the others propose. It goes by the number
// of commits, not by time.
func (s storm) upheave(w *world, rng *rand.Rand, over <-chan struct{}) {
	upheavals := make([]func(id string), 0, s.updates+s.removals)
	for range s.updates {
		upheavals = append(upheavals, func(id string) { w.update(id, rng.Int64N(100)) })
	}
	for range s.removals {
		upheavals = append(upheavals, w.recreate)
	}
	rng.Shuffle(len(upheavals), func(i, j int) { upheavals[i], upheavals[j] = upheavals[j], upheavals[i] })
	every := max(s.proposers*s.proposals/(2*(len(upheavals)+1)), 1)
	for _, upheave := range upheavals {
		w.awaitCommits(every, over)
		upheave(everyID[rng.IntN(len(everyID))])
	}
}

// settle waits until everybody has got to the end, and lets them go.
func (s storm) settle(w *world, peers []*peer, users []*user) {
	for _, id := range everyID {
		snapshot, err := w.manager.Get(w.ctx, id)
		if err != nil {
			w.t.Fatal(err)
		}
		head := snapshot.Cursor.String()
		for _, p := range peers {
			if !p.await(func() bool { return p.cursors[id] == head }, nil) {
				w.t.Errorf("a subscriber got to %s of %s instead of %s", p.cursor(id), id, head)
			}
		}
		for _, u := range users {
			u.reached(id, head)
		}
	}
	for _, p := range peers {
		p.cut()
	}
	for _, u := range users {
		u.client.Close()
		u.watching.Wait()
	}
}
