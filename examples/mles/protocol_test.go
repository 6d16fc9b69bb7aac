package main

import (
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/safe-go/safe/replay"
	"github.com/safe-go/safe/sharedata"
)

// The example session of the document, and its other side.
func TestProtocol_Document(t *testing.T) {
	t.Parallel()
	s := start(t)
	alice := connect(t, s.url)
	alice.send(`{ "uid":"alice", "channel":"example" }`)
	alice.send("Hello Bob!")
	bob := join(t, s.url, "bob", "example")
	bob.want("Hello Bob!") // by history or live
	bob.send("Hello Alice!")
	alice.want("Hello Alice!") // and not her own
	elsewhere := join(t, s.url, "bob", "other")
	elsewhere.send("to nobody")
	data := "\x00\xff\n\x80 binary"
	alice.write(opBinary, data)
	bob.wantBinary([]byte(data))
	for _, text := range []string{"", "\n", "a\nb\u2028\x00<&>", `{"uid":"alice","channel":"other"}`, strings.Repeat("€", 300_000)} {
		alice.send(text)
		bob.want(text)
	}
	bob.write(opBinary, "")
	alice.wantBinary(nil)
	join(t, s.url, "carol", "other").want("to nobody")
}

// Newcomers get the newest messages in order, and then what is sent.
func TestHistory_Newcomers(t *testing.T) {
	t.Parallel()
	for _, limit := range []int{200, 3, 0} {
		var arguments []string
		if limit != 200 {
			arguments = []string{"--limit", fmt.Sprint(limit)}
		}
		s := start(t, arguments...)
		alice := join(t, s.url, "alice", "c")
		var all []string
		for i := range 250 {
			all = append(all, fmt.Sprint("message ", i))
			alice.send(all[i])
		}
		alice.send("\xff")
		alice.wantClose(1007, "") // so all before is stored
		bob := join(t, s.url, "bob", "c")
		bob.want(all[len(all)-limit:]...)
		if limit > 0 {
			carol := join(t, s.url, "carol", "c")
			carol.send("over")
			bob.want("over")
			bob.send("live")
			carol.want(append(all[len(all)-limit:], "live")...)
		}
	}
}

// A first frame that is not as documented is refused with a reason, and the server goes on.
func TestFirstFrame_Refused(t *testing.T) {
	s := start(t)
	long := strings.Repeat("x", 257)
	for _, text := range []string{
		"", "Hello Bob!", "null", "[]", `"alice"`, "{", "{}", `{"uid":"alice"}`, `{"channel":"c"}`, `{"uid":"","channel":"c"}`,
		`{"uid":"alice","channel":""}`, `{"uid":7,"channel":"c"}`, `{"uid":"alice","channel":["c"]}`, `{"uid":"alice","channel":"c","auth":7}`,
		`{"UID":"alice","Channel":"c"}`, `{"uid":"alice","uid":"bob","channel":"c"}`, `{"uid":"a\u0000","channel":"c"}`,
		`{"uid":"alice","channel":"a\nb"}`, `{"uid":"` + long + `","channel":"c"}`, `{"uid":"alice","channel":"` + long + `"}`,
		`{"uid":"alice","channel":"c"} {}`, "{\"uid\":\"\xff\",\"channel\":\"c\"}",
	} {
		c := connect(t, s.url)
		c.send(text)
		f, err := c.read()
		if err != nil || f.op != opClose || f.code != 1008 || f.content == "" {
			t.Errorf("%.40q: got %v and %v, want to be closed with 1008", text, f, err)
		}
	}
	c := connect(t, s.url)
	c.write(opBinary, `{"uid":"alice","channel":"c"}`)
	c.wantClose(1008, "must be the text")
	c = connect(t, s.url)
	c.send(`{"uid":"` + strings.Repeat("x", maxFirstFrame) + `","channel":"c"}`)
	c.wantClose(1009, "")
	_, response := handshake(t, s.url, nil)
	if response.StatusCode != 400 {
		t.Errorf("without a subprotocol, the status is %d", response.StatusCode)
	}
	if _, response = handshake(t, s.url, nil, "Sec-WebSocket-Protocol: chat, x-mles-websocket"); response.StatusCode != 400 {
		t.Errorf("with other subprotocols, the status is %d", response.StatusCode)
	}
	if _, response = handshake(t, s.url, nil, "Sec-WebSocket-Protocol: chat, mles-websocket"); response.StatusCode != 101 {
		t.Errorf("with a list of subprotocols, the status is %d", response.StatusCode)
	}
	join(t, s.url, "alice", "c").send("still here")
	join(t, s.url, "bob", "c").want("still here")
}

// The longest names are accepted, members that are not documented are ignored, and the path of
// the URL has no meaning.
func TestFirstFrame_Accepted(t *testing.T) {
	s := start(t)
	long := strings.Repeat("x", 256)
	c := connect(t, s.url+"/any/path?query")
	c.send(`{"uid":"` + long + `","channel":"` + long + `","auth":"unused","uids":["a"],"":null,"UID":7}`)
	c.send("in")
	join(t, s.url, "bob", long).want("in")
}

// A client that does not send its first frame in time is disconnected, without a close frame,
// although it answers pings.
func TestFirstFrame_Late(t *testing.T) {
	t.Parallel()
	s := startWith(t, time.Second)
	began := time.Now()
	f, err := connect(t, s.url).read()
	if took := time.Since(began); err == nil || took >= testTimeout { // when its pongs end, too
		t.Errorf("got %v and %v after %v, want to be disconnected", f, err, took)
	}
}

// A message that cannot be passed on ends the connection of its sender, with the reason.
func TestMessage_Refused(t *testing.T) {
	t.Parallel()
	s := start(t)
	c := join(t, s.url, "alice", "c")
	c.send("first")
	c.send("\xff is not UTF-8")
	c.wantClose(1007, "UTF-8")
	c = join(t, s.url, "alice", "c")
	c.want("first")
	c.write(opBinary, strings.Repeat("x", maxMessage+1))
	c.wantClose(1009, "")
	c = join(t, s.url, "alice", "c")
	c.want("first")
	largest := strings.Repeat("\x01", maxMessage)
	c.send(largest)
	join(t, s.url, "bob", "c").want("first", largest)
}

// A store that fails is no reason to lose a message in silence: its sender is notified, and
// so is a client that cannot be sent the history.
func TestMessage_NotStored(t *testing.T) {
	err := withService(t.Context(), config{limit: 10, store: "mem:", heartbeat: testTimeout}, slog.New(slog.DiscardHandler), func(s *service) error {
		web := httptest.NewServer(http.HandlerFunc(s.accept))
		defer web.Close()
		defer s.realtime.Close()
		alice, bob := join(t, web.URL, "alice", "c"), join(t, web.URL, "bob", "c")
		alice.send("stored")
		bob.want("stored")
		s.manager.Close()
		alice.send("not stored")
		alice.wantClose(1013, "not stored")
		join(t, web.URL, "carol", "d").wantClose(1013, "cannot be read")
		return nil
	})
	if err != nil {
		t.Error(err)
	}
}

// With a key in the environment, auth is required.
func TestAuth(t *testing.T) {
	t.Setenv("MLES_KEY", "secret")
	s := start(t)
	if got := authHash("alice", "example", "secret"); got != 0xafa46b8689dae7a5 {
		t.Errorf("auth is %x", got)
	}
	good := fmt.Sprintf("%x", authHash("alice", "c", "secret"))
	for auth, ok := range map[string]bool{
		good: true, strings.ToUpper(good): true, "00" + good: true, "": false, "0": false, "x": false, good + "0": false,
		fmt.Sprintf("%x", authHash("alice", "d", "secret")): false, fmt.Sprintf("%x", authHash("alice", "c", "")): false,
	} {
		c := connect(t, s.url)
		c.send(fmt.Sprintf(`{"uid":"alice","channel":"c","auth":%q}`, auth))
		if !ok {
			c.wantClose(1008, "auth")
			continue
		}
		c.send("in")
	}
	c := join(t, s.url, "alice", "c")
	c.wantClose(1008, "auth")
}

// A store that does not keep as many messages as newcomers are to be sent sends the newest
// that it has.
func TestHistory_Trimmed(t *testing.T) {
	store, err := replay.NewMemory(&replay.MemoryOptions{MaxEntries: 5})
	if err != nil {
		t.Fatal(err)
	}
	manager, err := sharedata.NewManager(&sharedata.Options{Store: store, Kinds: []sharedata.Kind{channelKind}})
	if err != nil {
		t.Fatal(err)
	}
	defer manager.Close()
	s := &service{config: config{limit: 200}, manager: manager}
	head, err := manager.EnsureKind(t.Context(), "c", "channel", channelState{})
	for i := 0; i < 20 && err == nil; i++ {
		_, err = manager.Propose(t.Context(), sharedata.Proposal{ShareDataID: "c", FunctionID: "send", Data: message{Text: fmt.Sprint(i)}})
	}
	if err == nil {
		head, err = manager.Get(t.Context(), "c")
	}
	if err != nil {
		t.Fatal(err)
	}
	for since, want := range map[uint64]uint64{1: 16, 15: 16, 16: 16, 18: 18, 21: 21, 30: 16} {
		if got := s.replayable(t.Context(), "c", replay.Cursor{Epoch: head.Cursor.Epoch, Revision: since}); got.Revision != want {
			t.Errorf("after %d: got %d, want %d", since, got.Revision, want)
		}
	}
	if got := s.replayable(t.Context(), "c", s.newest(head.Cursor)); got.Revision != 16 {
		t.Errorf("newcomers are sent what follows %v", got)
	}
}

// A client that answers pings stays, and one that does not is disconnected.
func TestHeartbeat(t *testing.T) {
	t.Parallel()
	s := startWith(t, time.Second)
	alive, dead := join(t, s.url, "alive", "c"), join(t, s.url, "dead", "c")
	gone := make(chan error)
	go func() {
		_, err := io.Copy(io.Discard, dead.in) // and no pong
		gone <- err
	}()
	pings := make(chan frame)
	go func() {
		f, _ := alive.read() // answers pings meanwhile
		pings <- f
	}()
	<-gone
	join(t, s.url, "other", "c").send("still here")
	if f := <-pings; f.content != "still here" {
		t.Errorf("got %v", f)
	}
}
