package hostile

import (
	"fmt"
	"io"
	"net"
	"os"
	"runtime"
	"sync"
	"time"

	"github.com/safe-go/safe/internal/child"
)

const (
	hostileConnections = 1000
	drivers            = 4
	// tick is the time between two steps of a hostile connection. Those that were
	// closed come back with their next step.
	tick = 3 * time.Second
)

// hostileConn is one of the 1,000. A goroutine drives many of them.
type hostileConn struct {
	attack
	address string
	conn    net.Conn // nil while there is none
	steps   int
}

// runAttackers is the program of the attackers, which is a process of its own, and one that
// yields to the others: attackers have their own machines elsewhere. It goes on until
// its standard input ends.
func runAttackers(address string) error {
	_ = child.LowerPriority() // where there are no priorities, the figures are worse
	runtime.GOMAXPROCS(1)
	stop := make(chan struct{})
	var running sync.WaitGroup
	kinds := attacks()
	all := make([][]*hostileConn, drivers)
	for i := range hostileConnections {
		all[i%drivers] = append(all[i%drivers], &hostileConn{attack: kinds[i/drivers%len(kinds)], address: address})
	}
	for _, mine := range all {
		running.Go(func() { drive(mine, stop) })
	}
	fmt.Println("attacking")
	io.Copy(io.Discard, os.Stdin)
	close(stop)
	running.Wait()
	return nil
}

// drive spreads the steps of its connections evenly over each tick.
func drive(all []*hostileConn, stop <-chan struct{}) {
	ticks := time.NewTicker(tick / time.Duration(len(all)))
	defer ticks.Stop()
	buffer := make([]byte, 64<<10)
	for i := 0; ; i++ {
		select {
		case <-stop:
			for _, c := range all {
				c.close()
			}
			return
		case <-ticks.C:
			all[i%len(all)].next(buffer)
		}
	}
}

// next connects or makes a step. It does not wait for a server that does not read,
// and starts again where the server has closed.
func (c *hostileConn) next(buffer []byte) {
	if c.conn == nil {
		conn, err := net.DialTimeout("tcp", c.address, time.Second)
		if err != nil {
			return
		}
		c.conn, c.steps = conn, 0
		first := c.begin
		if !c.raw {
			first = append([]byte(handshake), first...)
		}
		c.write(first)
	}
	if c.step != nil {
		c.write(c.step(c.steps))
		c.steps++
	}
	if c.deaf || c.conn == nil {
		return
	}
	c.conn.SetReadDeadline(time.Now().Add(100 * time.Microsecond))
	if _, err := c.conn.Read(buffer); err != nil && !isTimeout(err) {
		c.close()
	}
}

func (c *hostileConn) write(b []byte) {
	if c.conn == nil {
		return
	}
	c.conn.SetWriteDeadline(time.Now().Add(time.Millisecond))
	if _, err := c.conn.Write(b); err != nil && !isTimeout(err) {
		c.close()
	}
}

func (c *hostileConn) close() {
	if c.conn != nil {
		c.conn.Close()
		c.conn = nil
	}
}

func isTimeout(err error) bool {
	timeout, ok := err.(net.Error)
	return ok && timeout.Timeout()
}
