package main

import (
	"encoding/json"
	"fmt"
	"path/filepath"
	"testing"
	"time"

	"github.com/safe-go/safe/internal/redistest"
)

// A node that is killed goes on where it was: subscribers recover what they missed. With a
// cursor of another store nothing is recovered.
func TestRecover_KilledNode(t *testing.T) {
	store := "bolt:" + filepath.Join(t.TempDir(), "turbine.db")
	node := startProgram(t, "-addr", "127.0.0.1:0", "-store", store)
	addr := node.addr
	c := join(t, addr)
	c.subscribe("a", "", false)
	publishData(t, addr, "a", 1, 3, 1)
	c.wantData("a", 1, 3)
	c.conn.Close()
	seen := c.last
	for n := 4; n <= 6; n++ {
		if status, answer := post(t, addr, fmt.Sprintf(`{"channel":"a","data":%d}`, n), "x-api-key: devkey"); status != 200 {
			t.Fatal(answer)
		}
	}
	node.kill()
	node = startProgram(t, "-addr", addr, "-store", store)
	c = join(t, addr)
	c.subscribe("a", seen, true)
	c.wantData("a", 4, 6)
	publishData(t, addr, "a", 7, 7, 1)
	c.wantData("a", 7, 7)
	c.subscribe("a", c.last, true) // nothing is missing
	publishData(t, addr, "a", 8, 8, 1)
	c.wantData("a", 8, 8)
	node.kill()

	startProgram(t, "-addr", addr) // in memory
	c2 := join(t, addr)
	c2.subscribe("a", c.last, false)
	c2.subscribe("a", "nonsense", false)
	publishData(t, addr, "a", 9, 9, 1)
	c2.wantData("a", 9, 9)
}

// While a node is killed and restarted repeatedly, publishers repeat what they got no reply
// to, and subscribers reconnect: nothing is lost and nothing comes twice.
func TestRecover_KilledDuringPublish(t *testing.T) {
	store := "bolt:" + filepath.Join(t.TempDir(), "turbine.db")
	node := startProgram(t, "-addr", "127.0.0.1:0", "-store", store)
	addr := node.addr
	const publications, kills = 300, 3
	published := make(chan int, publications)
	stop := make(chan struct{})
	go func() {
		defer close(stop)
		for n := 1; n <= publications; {
			if publishOnce(addr, n) {
				published <- n
				n++
			}
		}
	}()
	c := join(t, addr)
	c.subscribe("a", "", false)
	seen, last := 0, ""
	for round := range kills + 1 {
		for seen < publications*(round+1)/(kills+1) {
			message := c.next()
			var m struct {
				Method string
				Params struct{ Data int }
			}
			if err := json.Unmarshal([]byte(message), &m); err != nil || m.Method != "publication" || seen > 0 && m.Params.Data != seen+1 {
				t.Fatalf("after %d: %s, %v", seen, message, err)
			}
			seen, last = m.Params.Data, c.last
		}
		if round == kills {
			break
		}
		node.kill()
		node = startProgram(t, "-addr", addr, "-store", store)
		c = join(t, addr)
		c.subscribe("a", last, true)
	}
	<-stop
	if len(published) != publications {
		t.Errorf("%d of %d were published", len(published), publications)
	}
}

// Nodes that share a Redis are one: each session gets each publication once, wherever it was
// published, and recovers at any node.
func TestRecover_OtherNode(t *testing.T) {
	redis := redistest.Start(t, nil)
	one := start(t, "", "-store", "redis://"+redis.Addr())
	two := start(t, "", "-store", "redis://"+redis.Addr())
	c := join(t, one)
	c.subscribe("a", "", false)
	publishData(t, one, "a", 1, 2, 1)
	publishData(t, two, "a", 3, 4, 0) // local sessions
	c.wantData("a", 1, 4)
	seen := c.last
	publishData(t, one, "a", 5, 5, 1)
	publishData(t, two, "a", 6, 6, 0)
	c = join(t, two)
	c.subscribe("a", seen, true)
	c.wantData("a", 5, 6)
}

// A session that missed more publications than -window recovers none, as its result says.
func TestRecover_Window(t *testing.T) {
	addr := start(t, "", "-window", "3")
	c := join(t, addr)
	c.subscribe("a", "", false)
	seen := c.last
	publishData(t, addr, "a", 1, 3, 1)
	c.wantData("a", 1, 3)
	c.subscribe("a", seen, true)
	c.wantData("a", 1, 3)
	publishData(t, addr, "a", 4, 4, 1)
	c.wantData("a", 4, 4)
	c.subscribe("a", seen, false)
	publishData(t, addr, "a", 5, 5, 1)
	c.wantData("a", 5, 5)
}

// A session that is subscribed to a channel whose history is lost is sent a gap, with the
// cursor of the new history.
func TestGap(t *testing.T) {
	redis := redistest.Start(t, nil)
	addr := start(t, "", "-store", "redis://"+redis.Addr())
	c := join(t, addr)
	c.subscribe("a", "", false)
	publishData(t, addr, "a", 1, 3, 1)
	c.wantData("a", 1, 3)
	old := c.last
	redis.Flush()
	publishData(t, addr, "a", 4, 4, 1)
	c.want(`{"method":"gap","params":{"channel":"a","data":3}}`)
	seen := c.last
	c.wantData("a", 4, 4)
	c.subscribe("a", seen, true)
	c.wantData("a", 4, 4)
	c.subscribe("a", old, false)
}

// While the store is away, commands and publications that need it get 500, and sessions stay;
// when it is back they go on.
func TestStore_Away(t *testing.T) {
	redis := redistest.Start(t, nil)
	addr := start(t, "", "-store", "redis://"+redis.Addr())
	c := join(t, addr)
	c.subscribe("a", "", false)
	redis.Kill()
	c.say(`{"id":7,"method":"subscribe","params":{"channel":"b"}}`)
	c.want(`{"id":7,"error":{"code":500,"message":"the channel cannot be used at the moment; subscribe again later"}}`)
	if status, answer := post(t, addr, `{"channel":"a","data":1}`, "x-api-key: devkey"); status != 500 {
		t.Errorf("publish: %d %s", status, answer)
	}
	redis.Restart()
	for begun := time.Now(); !publishOnce(addr, 1); {
		if time.Since(begun) > wait {
			t.Fatal("the node has not found the store again")
		}
	}
	for { // the history is a new one where Redis has kept nothing
		if message := c.next(); sameJSON(message, `{"method":"publication","params":{"channel":"a","data":1}}`) {
			break
		}
	}
	c.say(`{"id":8,"method":"ping"}`)
	c.want(`{"id":8,"result":{"pong":true}}`)
}
