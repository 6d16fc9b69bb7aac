package realtime

import (
	"testing"
)

func TestWaitGroup(t *testing.T) {
	var k waitGroup
	<-k.whenIdle()
	k.add()
	k.add()
	idle := k.whenIdle()
	k.done()
	select {
	case <-idle:
		t.Fatal("one is still under way")
	default:
	}
	k.close()
	if k.add() {
		t.Error("added after close")
	}
	k.done()
	<-idle
}
