package main

import (
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"

	"github.com/coder/websocket"

	"github.com/safe-go/safe/internal/redistest"
)

func peerOf(s *server) string { return "ws" + strings.TrimPrefix(s.url, "http") }

// exchange sends one message in each direction, which shows that each has been sent all
// before it, once.
func exchange(a, b *wsClient, text string) {
	a.Helper()
	a.send(text + " from a")
	b.want(text + " from a")
	b.send(text + " from b")
	a.want(text + " from b")
}

// Messages go both ways over a link, text and binary, once and in order.
func TestPeer_BothWays(t *testing.T) {
	t.Parallel()
	one := start(t)
	two := start(t, "-peer", peerOf(one))
	a, b := join(t, one.url, "a", "c"), join(t, two.url, "b", "c")
	b.send("hello")
	a.want("hello")
	for i := range 50 {
		exchange(a, b, fmt.Sprint(i))
	}
	a.write(opBinary, "\x00\n\xff")
	b.wantBinary([]byte("\x00\n\xff"))
	largest := strings.Repeat("x", maxMessage)
	b.send(largest)
	a.want(largest)
}

// Each server of a ring, with two ways to every other, has each message once.
func TestPeer_Ring(t *testing.T) {
	var addresses, servers []string
	for range 3 { // each must know the next before that has started
		addresses = append(addresses, fmt.Sprint("127.0.0.1:", freePort(t)))
	}
	var clients []*wsClient
	for i, address := range addresses {
		_, port, _ := net.SplitHostPort(address)
		s := start(t, "-port", port, "-peer", "ws://"+addresses[(i+1)%3], "-peer", "ws://"+addresses[(i+2)%3])
		servers = append(servers, s.url)
		clients = append(clients, join(t, s.url, "client", "c"))
	}
	for i := range 30 {
		text := fmt.Sprint("message ", i)
		clients[i%3].send(text)
		clients[(i+1)%3].want(text)
		clients[(i+2)%3].want(text)
	}
	for i, url := range servers {
		newcomer := join(t, url, "newcomer", "c")
		for i := range 30 {
			newcomer.want(fmt.Sprint("message ", i))
		}
		if i == 0 {
			newcomer.send("once")
			for _, c := range clients {
				c.want("once")
			}
			continue
		}
		newcomer.want("once")
	}
}

// A server that has lost everything gets the history back from the other, whichever of
// them has connected.
func TestPeer_ResyncAfterLoss(t *testing.T) {
	t.Parallel()
	for _, lost := range []string{"who was connected to", "who connects"} {
		one := start(t)
		_, port, _ := strings.Cut(strings.TrimPrefix(one.url, "http://"), ":")
		two := start(t, "-peer", peerOf(one))
		a, b := join(t, one.url, "a", "c"), join(t, two.url, "b", "c")
		b.send("first")
		a.want("first")
		exchange(a, b, "before")
		var again *wsClient
		if lost == "who connects" {
			b.conn.Close()
			two.stop()
			two = start(t, "-peer", peerOf(one))
			again = join(t, two.url, "b", "c")
		} else {
			a.conn.Close()
			one.stop()
			one = start(t, "-port", port)
			again = join(t, one.url, "a", "c")
		}
		again.want("first", "before from a", "before from b")
		again.send("after")
		other := map[bool]*wsClient{true: a, false: b}[lost == "who connects"]
		other.want("after") // and none of the others again
	}
}

// While there is no link, both sides go on, and more is missed than newcomers are sent:
// afterwards each has all, once, also where the link was up before.
func TestPeer_ResumeBeyondLimit(t *testing.T) {
	t.Parallel()
	folder := t.TempDir()
	one := start(t, "--limit", "5", "-store", "bolt:"+filepath.Join(folder, "one"))
	_, port, _ := strings.Cut(strings.TrimPrefix(one.url, "http://"), ":")
	two := start(t, "--limit", "5", "-peer", peerOf(one))
	a, b := join(t, one.url, "a", "c"), join(t, two.url, "b", "c")
	b.send("linked")
	a.want("linked")
	exchange(a, b, "before")
	a.conn.Close()
	one.stop()
	for i := range 40 {
		b.send(fmt.Sprint("missed ", i))
	}
	one = start(t, "--limit", "5", "-store", "bolt:"+filepath.Join(folder, "one"), "-port", port)
	a = join(t, one.url, "a", "c")
	a.want("linked", "before from a", "before from b")
	for i := range 40 {
		a.want(fmt.Sprint("missed ", i))
	}
	exchange(a, b, "after")
}

// Servers on one Redis share channels, and their links to one peer repeat nothing.
func TestPeer_SharedRedis(t *testing.T) {
	t.Parallel()
	store := "redis://" + redistest.Start(t, nil).Addr()
	one, two := start(t, "-store", store), start(t, "-store", store)
	three := start(t, "-peer", peerOf(one), "-peer", peerOf(two))
	a, b, c := join(t, one.url, "a", "c"), join(t, two.url, "b", "c"), join(t, three.url, "c", "c")
	var all []string
	for i := range 20 {
		for from, sender := range []*wsClient{a, b, c} {
			text := fmt.Sprint("message ", i, " from ", from)
			sender.send(text)
			for _, other := range []*wsClient{a, b, c} {
				if other != sender {
					other.want(text)
				}
			}
			all = append(all, text)
		}
	}
	for _, s := range []*server{one, two, three} {
		join(t, s.url, "newcomer", "c").want(all...)
	}
}

// A link needs the key, and its uid.
func TestPeer_Auth(t *testing.T) {
	t.Setenv("MLES_KEY", "secret")
	one := start(t)
	two := start(t, "-peer", peerOf(one))
	joinWithKey := func(url, uid string) *wsClient {
		c := connect(t, url)
		c.send(fmt.Sprintf(`{"uid":%q,"channel":"c","auth":"%x"}`, uid, authHash(uid, "c", "secret")))
		return c
	}
	a, b := joinWithKey(one.url, "a"), joinWithKey(two.url, "b")
	b.send("linked")
	a.want("linked")
	exchange(a, b, "keyed")
	c, _ := handshake(t, one.url, nil, "Sec-WebSocket-Protocol: mles-websocket", "Mles-Peer: 1")
	c.send(fmt.Sprintf(`{"uid":"a","channel":"c","auth":"%x"}`, authHash("a", "c", "secret")))
	c.wantClose(1008, "uid of a peer")
}

// link connects to the channel c as a peer.
func link(t *testing.T, s *server, greeting string) *wsClient {
	t.Helper()
	c, response := handshake(t, s.url, nil, "Sec-WebSocket-Protocol: mles-websocket", "Mles-Peer: 1")
	if response.Header.Get("Mles-Peer") != "1" {
		t.Fatal("the server does not know peers")
	}
	c.send(`{"uid":"mles-peer","channel":"c"}`)
	if f, err := c.read(); err != nil || !strings.HasPrefix(f.content, `{"position":"`) {
		t.Fatalf("got %v and %v, want a greeting", f, err)
	}
	c.send(greeting)
	return c
}

// What a peer must not send ends the link, and nothing else.
func TestPeer_BadInput(t *testing.T) {
	s := start(t)
	for _, greeting := range []string{
		"", "x", "{}", `{"position":"17"}`, `{"position":"17-0"}`, `{"position":"0-1"}`,
		`{"position":"17-1","seen":{"x":1}}`, `{"position":"17-1","seen":[]}`,
	} {
		link(t, s, greeting).wantClose(1008, "greeting")
	}
	for _, text := range []string{
		"", "17-1", "17-1 \n", "x id\n", "18-1 id\ntext", "17-1 a\x00\n", "17-2 " + strings.Repeat("x", 257) + "\n",
		"17-2 id\n" + strings.Repeat("x", 1<<20+1),
	} {
		c := link(t, s, `{"position":"17-1","seen":{"1":2}}`)
		c.send(text)
		c.wantClose(1008, "not a message of a peer")
	}
	c := link(t, s, `{"position":"17-1"}`)
	c.send("17-2 id\nto all")
	c.send("17-2 id\nto all")
	join(t, s.url, "a", "c").want("to all")
}

// What a server accepts from one peer, with the longest ID and content, the next one accepts
// from it, also where its position is the longest.
func TestPeer_LongestMessage(t *testing.T) {
	t.Parallel()
	s := start(t)
	message := " " + strings.Repeat("i", 256) + "\n" + strings.Repeat("x", 1<<20)
	from, to := link(t, s, `{"position":"17-1"}`), link(t, s, `{"position":"18-1"}`)
	from.send("17-2" + message)
	f, err := to.read()
	position, _, _ := strings.Cut(f.content, " ")
	if err != nil || f.content != position+message {
		t.Fatalf("got %v (%v)", f, err)
	}
	longest := "18446744073709551615-18446744073709551615"
	from = link(t, s, `{"position":"`+longest+`"}`)
	from.send(longest + strings.Replace(message, "i", "j", 1))
	join(t, s.url, "a", "c").want(strings.Repeat("x", 1<<20), strings.Repeat("x", 1<<20))
}

// A peer opens as many connections from one address as there are channels.
func TestPeer_ManyChannels(t *testing.T) {
	t.Parallel()
	err := withService(t.Context(), config{limit: 10, store: "mem:", heartbeat: testTimeout}, slog.New(slog.DiscardHandler), func(s *service) error {
		web := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			r.RemoteAddr = "192.0.2.1:1" // the loopback is not counted
			s.accept(w, r)
		}))
		defer web.Close()
		defer s.realtime.Close()
		first := join(t, web.URL, "first", "c")
		for range 1024 {
			connect(t, web.URL)
		}
		last := join(t, web.URL, "last", "c")
		last.send("joined")
		first.want("joined")
		return nil
	})
	if err != nil {
		t.Error(err)
	}
}

// A server of another kind, whose messages have no IDs, is not linked to.
func TestPeer_Foreign(t *testing.T) {
	asked := make(chan struct{}, 100)
	foreign := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		ws, err := websocket.Accept(w, r, &websocket.AcceptOptions{Subprotocols: []string{subprotocol}})
		if err == nil {
			_, text, err := ws.Read(r.Context())
			if err == nil {
				t.Errorf("it was sent %q", text)
			}
			asked <- struct{}{}
		}
	}))
	defer foreign.Close()
	s := start(t, "-peer", "ws"+strings.TrimPrefix(foreign.URL, "http"))
	c := join(t, s.url, "a", "c")
	c.send("works")
	<-asked
	join(t, s.url, "b", "c").want("works")
}
