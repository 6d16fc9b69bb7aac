package realtime_test

import (
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/safe-go/safe/realtime"
)

// However pongs arrive, the messages between them are read.
func TestWebSocket_Pongs(t *testing.T) {
	pong, ping := masked(0x8A, "unasked"), masked(0x81, `{"v":1,"type":"ping","correlationId":"a"}`)
	for name, writes := range map[string][][]byte{
		"whole":          {pong, ping},
		"together":       {slices.Concat(pong, pong, ping)},
		"in two parts":   {pong[:3], slices.Concat(pong[3:], ping)},
		"then a message": {ping, pong, slices.Concat(pong, ping[:1]), ping[1:]},
		"in a fragment":  {slices.Concat(masked(0x01, `{"v":1,"type":"ping",`), pong, masked(0x80, `"correlationId":"a"}`))},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ts := servePipes(t, &realtime.Options{Heartbeat: -1})
				p := ts.dialRaw()
				go func() {
					for _, bytes := range writes {
						p.Write(bytes)
						time.Sleep(2 * time.Second)
					}
					p.Write(masked(0x88, "\x03\xe8"))
				}()
				n, code := p.countFrames()
				want := 1
				if name == "then a message" {
					want = 2
				}
				if n != want || code != 1000 {
					t.Errorf("%d replies, closed with %d", n, code)
				}
			})
		})
	}
}
