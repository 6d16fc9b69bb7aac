package main

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"

	"github.com/safe-go/safe/internal/redistest"
	"github.com/safe-go/safe/internal/testlog"
)

// startNATS starts a NATS server; port -1 takes a free one, and payload 0 is NATS's default
// for the size of messages. It may be stopped twice.
func startNATS(t *testing.T, port int, payload int32) (url string, s *server.Server, stop func()) {
	t.Helper()
	s, err := server.NewServer(&server.Options{Host: "127.0.0.1", Port: port, MaxPayload: payload, NoLog: true, NoSigs: true})
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
	url, _, _ := startNATS(t, -1, 0)
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
	url, _, _ := startNATS(t, -1, 0)
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
// The log says once that NATS is away, and not for each publication.
func TestCluster_Away(t *testing.T) {
	url, s, stop := startNATS(t, -1, 0)
	port := s.Addr().(*net.TCPAddr).Port
	stop()
	var log testlog.Buffer
	one, two := startNode(t, environment{urlVariable: url}, &log), start(t, url)
	a, b := join(t, one), join(t, two)
	a.subscribe("a", "", false)
	b.subscribe("b", "", false)
	before := log.String()
	publishData(t, one, "a", 1, 2, 1)
	a.wantData("a", 1, 2)
	publishData(t, two, "b", 1, 2, 1)
	b.wantData("b", 1, 2)
	if s, after := stats(t, one), log.String(); s.Unforwarded != 2 || after != before || strings.Count(after, "the node is alone") != 1 {
		t.Errorf("%+v; the log was\n%s\nand is\n%s", s, before, after)
	}
	_, _, stop = startNATS(t, port, 0)
	awaitForwarding(t, one, two)
	awaitForwarding(t, two, one)
	unforwarded := stats(t, one).Unforwarded
	stop()
	publishData(t, one, "a", 3, 3, 1)
	a.wantData("a", 3, 3)
	// Now the connection keeps 8 MiB.
	large := `{"channel":"large","data":"` + strings.Repeat("a", maxPublication-100) + `"}`
	kept := 0
	for ; stats(t, one).Unforwarded == unforwarded && kept < 20; kept++ {
		post(t, one, large, "x-api-key: devkey")
	}
	if text := log.String(); kept < 8 || kept == 20 || strings.Contains(text, "is not forwarded") {
		t.Errorf("%d large publications, and the log is\n%s", kept, text)
	}
	startNATS(t, port, 0)
	awaitForwarding(t, one, two)
}

// Nodes of one prefix forward to each other, under subjects that begin with it.
func TestCluster_Prefix(t *testing.T) {
	url, _, _ := startNATS(t, -1, 0)
	conn, err := nats.Connect(url)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	all, err := conn.SubscribeSync(">")
	if err == nil {
		err = conn.Flush()
	}
	if err != nil {
		t.Fatal(err)
	}
	nodes := environment{urlVariable: url, prefixVariable: "blue.green"}
	one, two := startNode(t, nodes, io.Discard), startNode(t, nodes, io.Discard)
	awaitForwarding(t, one, two)
	message, err := all.NextMsg(wait)
	if err != nil || message.Subject != "blue.green.await" || string(message.Data) != `{"channel":"await","data":1}` || message.Header.Get("Nats-Msg-Id") == "" {
		t.Errorf("%+v, %v", message, err)
	}
}

// The largest publication is forwarded, with the longest key.
func TestCluster_Largest(t *testing.T) {
	url, _, _ := startNATS(t, -1, 0)
	one, two := start(t, url), start(t, url)
	awaitForwarding(t, one, two)
	c := join(t, two)
	c.subscribe("a", "", false)
	data := `"` + strings.Repeat("a", maxPublication-len(`{"channel":"a","data":""}`)) + `"`
	key := "Idempotency-Key: " + strings.Repeat("k", 1024)
	if status, answer := post(t, one, `{"channel":"a","data":`+data+`}`, "x-api-key: devkey", key); status != http.StatusOK {
		t.Errorf("%d %s", status, answer)
	}
	c.want(`{"method":"publication","params":{"channel":"a","data":` + data + `}}`)
	if s := stats(t, one); s.Unforwarded != 0 {
		t.Errorf("%+v", s)
	}
}

// A publication that is too large for NATS reaches the sessions of its node. That it is not
// forwarded is logged and counted.
func TestCluster_TooLarge(t *testing.T) {
	url, _, _ := startNATS(t, -1, 4096)
	var log testlog.Buffer
	one, two := startNode(t, environment{urlVariable: url}, &log), start(t, url)
	awaitForwarding(t, one, two)
	a, b := join(t, one), join(t, two)
	a.subscribe("a", "", false)
	b.subscribe("a", "", false)
	data := `"` + strings.Repeat("a", 5000) + `"`
	if status, answer := post(t, one, `{"channel":"a","data":`+data+`}`, "x-api-key: devkey"); status != http.StatusOK || answer != `{"ok":true,"delivered":1}` {
		t.Errorf("%d %s", status, answer)
	}
	publishData(t, one, "a", 2, 2, 1)
	a.want(`{"method":"publication","params":{"channel":"a","data":` + data + `}}`)
	a.wantData("a", 2, 2)
	b.wantData("a", 2, 2)
	if s, text := stats(t, one), log.String(); s.Unforwarded != 1 || strings.Count(text, "is not forwarded") != 1 {
		t.Errorf("%+v, %s", s, text)
	}
}

// What others send under the subjects of the cluster is not taken for a publication.
func TestCluster_BadMessages(t *testing.T) {
	url, _, _ := startNATS(t, -1, 0)
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
