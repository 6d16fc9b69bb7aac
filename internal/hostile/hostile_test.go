package hostile

import (
	"os"
	"strconv"
	"testing"
	"time"
)

const (
	undisturbed = 4 * time.Second
	attacked    = 10 * time.Second
	// mostHeap bounds the server's heap and stacks: 64 MiB for itself and the honest,
	// and 128 KiB for each hostile connection on average. A hostile connection may
	// hold more, as the doc of package realtime says, but only by sending as much.
	mostHeap = 64<<20 + hostileConnections*128<<10
	// parkedWorkers is how many idle goroutines package sharedata keeps.
	parkedWorkers = 16
)

func TestHostile_HarmOnlyThemselves(t *testing.T) {
	if testing.Short() {
		t.Skip("takes 20 s")
	}
	p := start(t)
	h := startHonest(t, p.address)
	<-time.After(time.Second)
	h.measured() // not the beginning
	<-time.After(undisturbed)
	n, p50Before, p99Before := h.measured()
	before := p.stats()
	t.Logf("before the attack: %d proposals, p50 %v, p99 %v; %s", n, p50Before, p99Before, before)

	_, endAttack := startChild(t, p.address)
	most := before
	for end := time.Now().Add(attacked); time.Now().Before(end); <-time.After(tick / 8) {
		if time.Until(end) > attacked-2*tick {
			h.measured() // while the attack begins
		}
		now := p.stats()
		most = stats{
			Heap: max(most.Heap, now.Heap), Total: max(most.Total, now.Total),
			Goroutines: max(most.Goroutines, now.Goroutines), Connections: max(most.Connections, now.Connections),
		}
	}
	n, p50, p99 := h.measured()
	t.Logf("during the attack: %d proposals, p50 %v, p99 %v; at most %s", n, p50, p99, most)
	if n == 0 || most.Connections < hostileConnections/2 {
		t.Errorf("%d proposals beside %d connections are no test", n, most.Connections)
	}
	if most.Heap > mostHeap {
		t.Errorf("the server held %d MiB, want at most %d", most.Heap>>20, mostHeap>>20)
	}
	endAttack()

	// What the attack has left ends by itself, without a close of the server.
	after := p.stats()
	left := func() bool {
		return after.Goroutines > before.Goroutines+parkedWorkers || after.Connections > honestClients
	}
	for end := time.Now().Add(30 * time.Second); left() && time.Now().Before(end); after = p.stats() {
		<-time.After(tick / 8)
	}
	t.Logf("after the attack: %s", after)
	if left() {
		t.Errorf("left behind: %s", after)
	}
	h.stop()
	if text := os.Getenv("SAFE_HOSTILE_RATIO"); text != "" {
		limit, err := strconv.ParseFloat(text, 64)
		if ratio := float64(p99) / float64(p99Before); err != nil || ratio > limit {
			t.Errorf("p99 is %.1f times what it was before, want at most %s; %v", ratio, text, err)
		}
	}
}
