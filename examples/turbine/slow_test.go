package main

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
)

// flood publishes numbered publications: 500 are more than the buffers of sockets take.
func flood(t *testing.T, addr string, n int) (last int) {
	t.Helper()
	pad := strings.Repeat("x", 20_000)
	for i := 1; i <= n; i++ {
		if status, answer := post(t, addr, fmt.Sprintf(`{"channel":"a","data":{"n":%d,"pad":"%s"}}`, i, pad), "x-api-key: devkey"); status != 200 {
			t.Fatalf("%d %s", status, answer)
		}
	}
	return n
}

// number is what flood numbers a publication with; skipped is how many are left out.
func (c *client) number() (n, skipped int) {
	c.Helper()
	var m struct {
		Method string
		Params struct {
			Data    struct{ N int }
			Skipped int
		}
	}
	if message := c.next(); json.Unmarshal([]byte(message), &m) != nil || m.Method != "publication" {
		c.Fatalf("got %.200s", message)
	}
	return m.Params.Data.N, m.Params.Skipped
}

func stats(t *testing.T, addr string) (s struct{ Closed, Skipped, Unforwarded int }) {
	t.Helper()
	_, answer := request(t, "GET", "http://"+addr+"/api/stats", "", "x-api-key: devkey")
	if err := json.Unmarshal([]byte(answer), &s); err != nil {
		t.Fatal(err)
	}
	return s
}

// A session that does not read is closed when more than -max-waiting messages wait for it,
// and that is counted; another session is not disturbed. The session recovers.
func TestSlow_Close(t *testing.T) {
	addr := start(t, "", "-max-waiting", "3")
	c := join(t, addr)
	c.subscribe("a", "", false)
	flood(t, addr, 500)
	c.wantClose(4001)
	if s := stats(t, addr); s.Closed != 1 || s.Skipped != 0 {
		t.Errorf("%+v", s)
	}
	c = join(t, addr)
	c.subscribe("a", "", false)
	seen := c.last
	flood(t, addr, 2)
	c = join(t, addr)
	c.subscribe("a", seen, true)
	for n := 1; n <= 2; n++ {
		if got, skipped := c.number(); got != n || skipped != 0 {
			t.Errorf("got %d and %d skipped, want %d", got, skipped, n)
		}
	}
}

// With -slow conflate it gets the latest publication, and how many were left out.
func TestSlow_Conflate(t *testing.T) {
	addr := start(t, "", "-max-waiting", "3", "-slow", "conflate")
	c := join(t, addr)
	c.subscribe("a", "", false)
	last := flood(t, addr, 500)
	left := 0
	for at := 0; at < last; {
		n, skipped := c.number()
		if skipped == 0 && n != at+1 || skipped > 0 && n != at+skipped {
			t.Fatalf("%d follows %d, and %d are said to be left out", n, at, skipped)
		}
		at, left = n, left+skipped
	}
	if s := stats(t, addr); left == 0 || s.Closed != 0 || s.Skipped != left {
		t.Errorf("%d were left out, and counted are %+v", left, s)
	}
	publishData(t, addr, "a", 1, 1, 1)
	c.wantData("a", 1, 1)
}
