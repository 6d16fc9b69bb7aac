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

// patience bounds a test that hangs; none comes near it.
const patience = 30 * time.Second

// echo is a server that answers every line with its name and the line.
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

func to(address string) func() string { return func() string { return address } }

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

func call(t *testing.T, p *proxy) *caller {
	t.Helper()
	conn, err := net.Dial("tcp", p.addr())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	conn.SetDeadline(time.Now().Add(patience))
	return &caller{t, conn.(*net.TCPConn), bufio.NewReader(conn)}
}

func (c *caller) say(line string) {
	c.t.Helper()
	if _, err := io.WriteString(c, line+"\n"); err != nil {
		c.t.Fatal(err)
	}
}

func (c *caller) hear(want string) {
	c.t.Helper()
	if line, err := c.lines.ReadString('\n'); err != nil || strings.TrimSpace(line) != want {
		c.t.Fatalf("heard %q, %v; want %q", line, err, want)
	}
}

// silence checks that nothing comes for a moment.
func (c *caller) silence() {
	c.t.Helper()
	c.SetReadDeadline(time.Now().Add(50 * time.Millisecond))
	line, err := c.lines.ReadString('\n')
	var timeout net.Error
	if !errors.As(err, &timeout) || !timeout.Timeout() {
		c.t.Fatalf("heard %q, %v; want nothing", line, err)
	}
	c.SetReadDeadline(time.Now().Add(patience))
}

func TestProxyCarriesBothWaysAndEnds(t *testing.T) {
	p := through(t, to(echo(t, "a")))
	c := call(t, p)
	c.say("hello")
	c.hear("a hello")
	c.CloseWrite()
	c.hear("a bye")
	if _, err := c.lines.ReadByte(); err != io.EOF {
		t.Errorf("after the end: %v", err)
	}
}

func TestProxyMovesNewConnectionsOnly(t *testing.T) {
	a, b := echo(t, "a"), echo(t, "b")
	p := through(t, to(a))
	old := call(t, p)
	old.say("1")
	old.hear("a 1")
	p.point(to(b))
	old.say("2")
	old.hear("a 2")
	young := call(t, p)
	young.say("3")
	young.hear("b 3")
	if n := p.connections(); n != 2 {
		t.Errorf("%d connections were counted", n)
	}
}

func TestProxyToNobodyRefuses(t *testing.T) {
	for name, address := range map[string]string{"nowhere": "", "a port that nobody listens on": "127.0.0.1:1"} {
		c := call(t, through(t, to(address)))
		if _, err := c.lines.ReadByte(); err == nil {
			t.Errorf("%s: something came", name)
		}
	}
}

func TestProxyCuts(t *testing.T) {
	p := through(t, to(echo(t, "a")))
	c := call(t, p)
	c.say("1")
	c.hear("a 1")
	if n := p.cut(); n != 1 {
		t.Errorf("%d connections were cut", n)
	}
	if _, err := c.lines.ReadByte(); !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("after the cut: %v; want a reset", err)
	}
}

func TestProxyIsABlackHoleAndHeals(t *testing.T) {
	p := through(t, to(echo(t, "a")))
	before := call(t, p)
	before.say("1")
	before.hear("a 1")
	p.hold()
	during := call(t, p)
	before.say("2")
	during.say("3")
	before.silence()
	during.silence()
	p.release()
	before.hear("a 2")
	during.hear("a 3")
}

func TestProxyIsABlackHoleThatIsCut(t *testing.T) {
	p := through(t, to(echo(t, "a")))
	p.hold()
	c := call(t, p)
	c.say("1")
	c.silence()
	p.cut()
	p.release()
	if line, err := c.lines.ReadString('\n'); err == nil {
		t.Errorf("heard %q", line)
	}
}

func TestProxyDelays(t *testing.T) {
	p := through(t, to(echo(t, "a")))
	c := call(t, p)
	const delay = 150 * time.Millisecond
	p.slow(delay)
	began := time.Now()
	c.say("1")
	c.hear("a 1")
	if took := time.Since(began); took < 2*delay {
		t.Errorf("there and back took %v", took)
	}
	p.slow(0)
	c.say("2")
	c.hear("a 2")
}

func TestProxyClosesOneHalf(t *testing.T) {
	for _, towardsServer := range []bool{true, false} {
		p := through(t, to(echo(t, "a")))
		c := call(t, p)
		c.say("1")
		c.hear("a 1")
		if n := p.halfClose(towardsServer); n != 1 {
			t.Errorf("%d connections were closed", n)
		}
		if towardsServer {
			c.hear("a bye") // the server goes on sending
			continue
		}
		if _, err := c.lines.ReadByte(); err != io.EOF {
			t.Errorf("the client reads %v; want the end", err)
		}
		c.say("2") // it can still send, and does not hear the answer
		if _, err := c.lines.ReadByte(); err != io.EOF {
			t.Errorf("the client reads %v; want the end", err)
		}
	}
}

func TestProxyEndsWithConnectionsInEveryState(t *testing.T) {
	p := through(t, to(echo(t, "a")))
	idle, held := call(t, p), call(t, p)
	idle.say("1")
	idle.hear("a 1")
	held.say("1")
	held.hear("a 1")
	p.halfClose(true)
	p.hold()
	call(t, p).say("2")
	p.close()
	p.close()
	if _, err := net.Dial("tcp", p.addr()); err == nil {
		t.Error("it still listens")
	}
}
