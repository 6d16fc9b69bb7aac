package main

import (
	"fmt"
	"path/filepath"
	"slices"
	"testing"
)

// A server is killed while a client sends, and restarted on its file: clients that come
// back find all that any client has been sent, in the same order, and nothing twice. Their
// connections have ended, so they know that the last messages may be missing.
func TestKill_HistoryOnFile(t *testing.T) {
	t.Parallel()
	arguments := []string{"-dev", "-port", "0", "-limit", "1000", "-store", "bolt:" + filepath.Join(t.TempDir(), "histories")}
	var seen []string // by bob, in order
	for round := range 4 {
		s, kill := startChild(t, nil, arguments...)
		alice, bob := join(t, s.url, "alice", "c"), join(t, s.url, "bob", "c")
		begin := fmt.Sprint("round ", round)
		alice.send(begin)
		history := readUntil(t, bob, begin)
		if len(history) < len(seen) || !slices.Equal(history[:len(seen)], seen) {
			t.Fatalf("round %d: the history is %q, but bob has been sent %q", round, history, seen)
		}
		for i, text := range history {
			if slices.Contains(history[:i], text) {
				t.Fatalf("round %d: %q is twice in the history", round, text)
			}
		}
		seen = history
		for i := range 100 {
			alice.send(fmt.Sprint(begin, " message ", i))
			if i == 10 { // at least some arrive
				seen = append(seen, readUntil(t, bob, fmt.Sprint(begin, " message 5"))...)
			}
			if i == 80 {
				go kill()
			}
		}
		seen = append(seen, readUntil(t, bob, "")...)
		kill()
	}
}

// readUntil returns the messages up to a last one, or to the end of the connection.
func readUntil(t *testing.T, c *wsClient, last string) (messages []string) {
	t.Helper()
	for {
		f, err := c.read()
		switch {
		case err != nil && last == "":
			return messages
		case err != nil || f.op != opText:
			t.Fatalf("got %v and %v, want %q", f, err, last)
		}
		if messages = append(messages, f.content); f.content == last {
			return messages
		}
	}
}

// A server on a file is killed again and again, and its peer goes on: each time the link
// brings what was missed, once.
func TestKill_Peer(t *testing.T) {
	t.Parallel()
	one := start(t)
	a := join(t, one.url, "a", "c")
	store := "bolt:" + filepath.Join(t.TempDir(), "histories")
	var all []string
	for round := range 3 {
		two, kill := startChild(t, nil, "-dev", "-port", "0", "-store", store, "-peer", peerOf(one))
		b := join(t, two.url, "b", "c")
		b.want(all...) // from its file, and what it has missed over the link
		text, reply, missed := fmt.Sprint("from b ", round), fmt.Sprint("from a ", round), fmt.Sprint("missed ", round)
		b.send(text)
		a.want(text)
		a.send(reply)
		b.want(reply)
		kill()
		a.send(missed)
		all = append(all, text, reply, missed)
	}
}
