package main

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/coder/websocket"
)

func FuzzFirstFrame(f *testing.F) {
	f.Add(`{ "uid":"alice", "channel":"example" }`)
	f.Add(`{"uid":"alice","channel":"example","auth":"0123456789abcdef"}`)
	f.Add(fmt.Sprintf(`{"uid":"alice","channel":"example","auth":"00%X"}`, authHash("alice", "example", "key")))
	f.Fuzz(func(t *testing.T, text string) {
		first, err := parseFirstFrame(websocket.MessageText, []byte(text))
		if err != nil {
			return
		}
		for _, name := range []string{first.UID, first.Channel} {
			if name == "" || len(name) > maxName || !utf8.ValidString(name) || strings.ContainsAny(name, "\x00\n\x7f") {
				t.Errorf("%q is accepted", name)
			}
		}
		want := fmt.Sprintf("%x", authHash(first.UID, first.Channel, "key"))
		if got := first.authorized("key"); got != (strings.TrimLeft(strings.ToLower(first.Auth), "0") == want) {
			t.Errorf("auth %q: got %t, and want it for %s", first.Auth, got, want)
		}
	})
}

func FuzzLine(f *testing.F) {
	f.Add([]byte("17-3 ABC-1\nHello Bob!"))
	f.Add([]byte("17-3 ABC-1\n"))
	f.Fuzz(func(t *testing.T, text []byte) {
		position, id, content, err := parseLine(text)
		if err != nil {
			return
		}
		again := append(appendLine(nil, position, id), content...)
		if string(again) != string(text) {
			t.Errorf("%q was decoded from %q", again, text)
		}
	})
}

func FuzzGreeting(f *testing.F) {
	f.Add([]byte(`{"position":"17-3","seen":{"18":4}}`))
	f.Add([]byte(`{"position":"17-3","seen":null}`))
	f.Add([]byte(`{"position":"0-1"}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		g, err := parseGreeting(text)
		if err != nil {
			return
		}
		again, err := json.Marshal(g)
		if err != nil || g.Position.Epoch == 0 || g.Position.Revision == 0 {
			t.Fatalf("%+v: %v", g, err)
		}
		if same, err := parseGreeting(again); err != nil || same.Position != g.Position || len(same.Seen) != len(g.Seen) {
			t.Errorf("got %+v and %v from %s", same, err, again)
		}
	})
}
