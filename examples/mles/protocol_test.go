package main

import (
	"fmt"
	"strings"
	"testing"
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
	long := strings.Repeat("x", maxName+1)
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

// With a key in the environment, auth is required.
func TestAuth(t *testing.T) {
	t.Setenv("MLES_KEY", "secret")
	s := start(t)
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
