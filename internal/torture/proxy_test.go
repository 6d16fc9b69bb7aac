package torture

import (
	"bufio"
	"errors"
	"io"
	"net"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// testTimeout ends a test that hangs.
const testTimeout = 30 * time.Second

// echo starts a server that replies to each line with its name and the line.
func echo(t *testing.T, name string) (address string) {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var serving sync.WaitGroup
	var mu sync.Mutex
	var conns []net.Conn
	serving.Go(func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			mu.Lock()
			conns = append(conns, conn)
			mu.Unlock()
			serving.Go(func() {
				defer conn.Close()
				for lines := bufio.NewScanner(conn); lines.Scan(); {
					if _, err := io.WriteString(conn, name+" "+lines.Text()+"\n"); err != nil {
						return
					}
				}
				io.WriteString(conn, name+" bye\n")
			})
		}
	})
	t.Cleanup(func() {
		listener.Close()
		mu.Lock()
		for _, conn := range conns {
			conn.Close()
		}
		mu.Unlock()
		serving.Wait()
	})
	return listener.Addr().String()
}

// to returns a target that is always the address.
func to(address string) func() string { return func() string { return address } }

// through starts a proxy to the target.
func through(t *testing.T, target func() string) *proxy {
	t.Helper()
	p, err := newProxy(target)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.close)
	return p
}

// caller is a connection through a proxy.
type caller struct {
	t *testing.T
	*net.TCPConn
	lines *bufio.Reader
}

// call opens a connection through a proxy.
func call(t *testing.T, p *proxy) *caller {
	t.Helper()
	conn, err := net.Dial("tcp", p.addr())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	conn.SetDeadline(time.Now().Add(testTimeout))
	return &caller{t, conn.(*net.TCPConn), bufio.NewReader(conn)}
}

func (c *caller) send(line string) {
	c.t.Helper()
	if _, err := io.WriteString(c, line+"\n"); err != nil {
		c.t.Fatal(err)
	}
}

func (c *caller) receive(want string) {
	c.t.Helper()
	if line, err := c.lines.ReadString('\n'); err != nil || strings.TrimSpace(line) != want {
		c.t.Fatalf("received %q, %v; want %q", line, err, want)
	}
}

// silence checks that nothing is received for a moment.
func (c *caller) silence() {
	c.t.Helper()
	c.SetReadDeadline(time.Now().Add(50 * time.Millisecond))
	line, err := c.lines.ReadString('\n')
	var timeout net.Error
	if !errors.As(err, &timeout) || !timeout.Timeout() {
		c.t.Fatalf("received %q, %v; want nothing", line, err)
	}
	c.SetReadDeadline(time.Now().Add(testTimeout))
}

func TestProxy_Forwards(t *testing.T) {
	p := through(t, to(echo(t, "a")))
	c := call(t, p)
	c.send("hello")
	c.receive("a hello")
	c.CloseWrite()
	c.receive("a bye")
	if _, err := c.lines.ReadByte(); err != io.EOF {
		t.Errorf("after the end: %v", err)
	}
}

func TestProxy_SetTarget(t *testing.T) {
	a, b := echo(t, "a"), echo(t, "b")
	p := through(t, to(a))
	old := call(t, p)
	old.send("1")
	old.receive("a 1")
	p.setTarget(to(b))
	old.send("2")
	old.receive("a 2")
	young := call(t, p)
	young.send("3")
	young.receive("b 3")
	if n := p.connections(); n != 2 {
		t.Errorf("%d connections were counted", n)
	}
}

func TestProxy_NoTarget(t *testing.T) {
	for name, address := range map[string]string{"nowhere": "", "a port that nobody listens on": "127.0.0.1:1"} {
		c := call(t, through(t, to(address)))
		if _, err := c.lines.ReadByte(); err == nil {
			t.Errorf("%s: something was received", name)
		}
	}
}

func TestProxy_Cut(t *testing.T) {
	p := through(t, to(echo(t, "a")))
	c := call(t, p)
	c.send("1")
	c.receive("a 1")
	if n := p.cut(); n != 1 {
		t.Errorf("%d connections were cut", n)
	}
	if _, err := c.lines.ReadByte(); !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("after the cut: %v; want a reset", err)
	}
}

func TestProxy_BlockAndUnblock(t *testing.T) {
	p := through(t, to(echo(t, "a")))
	before := call(t, p)
	before.send("1")
	before.receive("a 1")
	p.block()
	during := call(t, p)
	before.send("2")
	during.send("3")
	before.silence()
	during.silence()
	p.unblock()
	before.receive("a 2")
	during.receive("a 3")
}

func TestProxy_BlockAndCut(t *testing.T) {
	p := through(t, to(echo(t, "a")))
	p.block()
	c := call(t, p)
	c.send("1")
	c.silence()
	p.cut()
	p.unblock()
	if line, err := c.lines.ReadString('\n'); err == nil {
		t.Errorf("received %q", line)
	}
}

func TestProxy_Delay(t *testing.T) {
	p := through(t, to(echo(t, "a")))
	c := call(t, p)
	const delay = 150 * time.Millisecond
	p.setDelay(delay)
	began := time.Now()
	c.send("1")
	c.receive("a 1")
	if took := time.Since(began); took < 2*delay {
		t.Errorf("the round trip took %v", took)
	}
	p.setDelay(0)
	c.send("2")
	c.receive("a 2")
}

func TestProxy_HalfClose(t *testing.T) {
	for _, towardsServer := range []bool{true, false} {
		p := through(t, to(echo(t, "a")))
		c := call(t, p)
		c.send("1")
		c.receive("a 1")
		if n := p.halfClose(towardsServer); n != 1 {
			t.Errorf("%d connections were closed", n)
		}
		if towardsServer {
			c.receive("a bye") // the server still sends
			continue
		}
		if _, err := c.lines.ReadByte(); err != io.EOF {
			t.Errorf("the client reads %v; want the end", err)
		}
		c.send("2") // it can still send, and receives no reply
		if _, err := c.lines.ReadByte(); err != io.EOF {
			t.Errorf("the client reads %v; want the end", err)
		}
	}
}

func TestProxy_CloseInAnyState(t *testing.T) {
	p := through(t, to(echo(t, "a")))
	idle, blocked := call(t, p), call(t, p)
	idle.send("1")
	idle.receive("a 1")
	blocked.send("1")
	blocked.receive("a 1")
	p.halfClose(true)
	p.block()
	call(t, p).send("2")
	p.close()
	p.close()
	if _, err := net.Dial("tcp", p.addr()); err == nil {
		t.Error("it still listens")
	}
}
