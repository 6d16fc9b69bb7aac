package hostile

import (
	"os"
	"strconv"
	"testing"
	"time"
)

const (
	// The phases alternate, so that what else the machine does is in both.
	rounds      = 2
	undisturbed = 2 * time.Second
	attacked    = 5 * time.Second
	// mostHeap bounds the server's heap and stacks: 64 MiB for itself and the honest,
	// and 128 KiB for each hostile connection on average. A hostile connection may
	// hold more, as the doc of package realtime says, but only by sending as much.
	mostHeap = 64<<20 + hostileConnections*128<<10
	// parkedWorkers is how many idle goroutines package sharedata keeps, and package
	// realtime.
	parkedWorkers = 16 + 16
)

func TestHostile_HonestClientsUnaffected(t *testing.T) {
	if testing.Short() {
		t.Skip("takes 17 s")
	}
	p := start(t)
	h := startHonest(t, p.address)
	<-time.After(time.Second)
	h.measure(nil) // not the beginning
	before := p.stats()
	var calm, hostile latencies
	var most stats
	for range rounds {
		<-time.After(undisturbed)
		h.measure(&calm)
		most = most.max(p.attack())
		h.measure(&hostile)
	}
	t.Logf("undisturbed: %s; %s", calm, before)
	t.Logf("beside the attack: %s; at most %s", hostile, most)
	if most.Connections < hostileConnections/2 {
		t.Errorf("%d connections are no test", most.Connections)
	}
	if most.Heap > mostHeap {
		t.Errorf("the server held %d MiB, want at most %d", most.Heap>>20, mostHeap>>20)
	}

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
		if ratio := float64(hostile.percentile(99)) / float64(calm.percentile(99)); err != nil || ratio > limit {
			t.Errorf("p99 is %.1f times the undisturbed one, want at most %s; %v", ratio, text, err)
		}
	}
}

// attack runs the attackers for one phase and returns the most that the server held.
func (p *process) attack() (most stats) {
	p.Helper()
	_, end := startChild(p.T, p.address)
	defer end()
	for until := time.Now().Add(attacked); time.Now().Before(until); <-time.After(time.Second) {
		most = most.max(p.stats())
	}
	return most
}
