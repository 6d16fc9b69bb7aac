package main

import (
	"encoding/json"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/coder/websocket"

	"github.com/safe-go/safe/replay"
)

func FuzzFirstFrame(f *testing.F) {
	f.Add(`{ "uid":"alice", "channel":"example" }`)
	f.Add(`{"uid":"alice","channel":"example","auth":"0123456789abcdef"}`)
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
		if first.authorized("key") && !strings.HasSuffix(strings.ToLower(first.Auth), strings.TrimLeft(strings.ToLower(first.Auth), "0")) {
			t.Errorf("auth %q is accepted", first.Auth)
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
	f.Fuzz(func(t *testing.T, text []byte) {
		g, err := parseGreeting(text)
		if err != nil {
			return
		}
		again, err := json.Marshal(g)
		if err != nil || g.Position == (replay.Cursor{}) {
			t.Fatalf("%+v: %v", g, err)
		}
		if same, err := parseGreeting(again); err != nil || same.Position != g.Position || len(same.Seen) != len(g.Seen) {
			t.Errorf("got %+v and %v from %s", same, err, again)
		}
	})
}
