package main

import (
	"fmt"
	"net"
	"sync"
	"testing"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"

	"github.com/safe-go/safe/internal/redistest"
)

// startNATS starts a NATS server; port -1 takes a free one. It may be stopped twice.
func startNATS(t *testing.T, port int) (url string, s *server.Server, stop func()) {
	t.Helper()
	s, err := server.NewServer(&server.Options{Host: "127.0.0.1", Port: port, NoLog: true, NoSigs: true})
	if err != nil {
		t.Fatal(err)
	}
	s.Start()
	stop = sync.OnceFunc(func() {
		s.Shutdown()
		s.WaitForShutdown()
	})
	t.Cleanup(stop)
	if !s.ReadyForConnections(wait) {
		t.Fatal("NATS does not start")
	}
	return s.ClientURL(), s, stop
}

// awaitForwarding publishes at a node until a publication arrives at another.
func awaitForwarding(t *testing.T, from, to string) {
	t.Helper()
	c := join(t, to)
	c.subscribe("await", "", false)
	arrived := make(chan struct{})
	go func() {
		defer close(arrived)
		c.in.Peek(1)
	}()
	for {
		select {
		case <-arrived:
			return
		default:
			post(t, from, `{"channel":"await","data":1}`, "x-api-key: devkey")
		}
	}
}

// Publications are forwarded between nodes once, in order, and not back.
func TestCluster(t *testing.T) {
	url, _, _ := startNATS(t, -1)
	one, two, three := start(t, url), start(t, url), start(t, url)
	for _, to := range []string{two, three} {
		awaitForwarding(t, one, to)
	}
	const channel = "chat:lobby > *.%ü "
	var clients []*client
	for _, node := range []string{one, two, three} {
		c := join(t, node)
		c.subscribe(channel, "", false)
		clients = append(clients, c)
	}
	publishData(t, one, channel, 1, 20, 1)
	for _, c := range clients {
		c.wantData(channel, 1, 20)
	}
	publishData(t, two, channel, 21, 22, 1)
	for _, c := range clients {
		c.wantData(channel, 21, 22)
	}
	for _, node := range []string{one, two, three} {
		publishData(t, node, channel, 23, 23, 1)
		for _, c := range clients { // nothing came in between
			c.wantData(channel, 23, 23)
		}
	}
	if s := stats(t, two); s.Unforwarded != 0 {
		t.Errorf("%+v", s)
	}
}

// Nodes that share a Redis too commit each publication once.
func TestCluster_SharedStore(t *testing.T) {
	url, _, _ := startNATS(t, -1)
	redis := redistest.Start(t, nil)
	one, two := start(t, url, "-store", "redis://"+redis.Addr()), start(t, url, "-store", "redis://"+redis.Addr())
	a, b := join(t, one), join(t, two)
	a.subscribe("a", "", false)
	b.subscribe("a", "", false)
	for n := 1; n <= 30; n++ {
		publishData(t, []string{one, two}[n%2], "a", n, n, 1)
		a.wantData("a", n, n)
		b.wantData("a", n, n)
	}
	// What a node has forwarded, the other has got by now: the last publication follows.
	publishData(t, one, "a", 31, 31, 1)
	a.wantData("a", 31, 31)
	b.wantData("a", 31, 31)
}

// While NATS is away a node serves its own sessions, and it forwards again when NATS is back.
func TestCluster_Away(t *testing.T) {
	url, s, stop := startNATS(t, -1)
	port := s.Addr().(*net.TCPAddr).Port
	stop()
	one, two := start(t, url), start(t, url)
	a, b := join(t, one), join(t, two)
	a.subscribe("a", "", false)
	b.subscribe("b", "", false)
	publishData(t, one, "a", 1, 2, 1)
	a.wantData("a", 1, 2)
	publishData(t, two, "b", 1, 2, 1)
	b.wantData("b", 1, 2)
	_, _, stop = startNATS(t, port)
	awaitForwarding(t, one, two)
	awaitForwarding(t, two, one)
	stop()
	publishData(t, one, "a", 3, 3, 1)
	a.wantData("a", 3, 3)
	startNATS(t, port)
	awaitForwarding(t, one, two)
}

// What others send under the subjects of the cluster is not taken for a publication.
func TestCluster_BadMessages(t *testing.T) {
	url, _, _ := startNATS(t, -1)
	one, two := start(t, url), start(t, url)
	awaitForwarding(t, one, two)
	c := join(t, two)
	c.subscribe("a", "", false)
	conn, err := nats.Connect(url)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	for i, data := range []string{``, `nonsense`, `{"channel":"a"}`, `{"data":1}`, "{\"channel\":\"a\",\"data\":\"\xff\"}", `{"channel":"a","data":1}`} {
		message := nats.NewMsg("turbine.a")
		message.Data = []byte(data)
		if i < 5 { // the last one is good but for its key
			message.Header.Set(nats.MsgIdHdr, fmt.Sprint(i))
		}
		if err := conn.PublishMsg(message); err != nil {
			t.Fatal(err)
		}
	}
	if err := conn.Flush(); err != nil {
		t.Fatal(err)
	}
	publishData(t, one, "a", 2, 2, 0)
	c.wantData("a", 2, 2)
}
