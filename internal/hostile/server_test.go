package hostile

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/safe-go/safe/internal/child"
	"github.com/safe-go/safe/realtime"
	"github.com/safe-go/safe/sharedata"
)

// role is the environment variable that makes the test binary another program:
// "server", or the address of the server to attack.
const role = "SAFE_HOSTILE_ROLE"

func TestMain(m *testing.M) {
	var err error
	switch as := os.Getenv(role); as {
	case "":
		goleak.VerifyTestMain(m)
	case "server":
		err = serve()
	default:
		err = runAttackers(as)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// stats are what the server says of itself.
type stats struct {
	Heap, Total, Goroutines, Connections int
}

func (s stats) String() string {
	return fmt.Sprintf("%d MiB of heap and stacks, %d MiB in all, %d goroutines, %d connections", s.Heap>>20, s.Total>>20, s.Goroutines, s.Connections)
}

func (s stats) max(other stats) stats {
	return stats{
		Heap: max(s.Heap, other.Heap), Total: max(s.Total, other.Total),
		Goroutines: max(s.Goroutines, other.Goroutines), Connections: max(s.Connections, other.Connections),
	}
}

// counters is the number of ShareData of the honest clients.
const counters = 5

func counterID(i int) string { return "counter-" + strconv.Itoa(i%counters) }

// serve runs a server until its standard input ends. Its limits are the defaults,
// but for shorter times, so that each runs out during the test.
func serve() error {
	manager, err := sharedata.NewManager(nil)
	if err != nil {
		return err
	}
	add := sharedata.NewFunction("add", func(_ context.Context, n, by int) (int, error) { return n + by, nil })
	for i := range counters {
		if _, err := manager.Create(context.Background(), counterID(i), 0, add); err != nil {
			return err
		}
	}
	server, err := realtime.NewServer(manager, &realtime.Options{
		Heartbeat: 2 * time.Second, HandshakeTimeout: 2 * time.Second,
		MessageTimeout: 3 * time.Second, IdleTimeout: 5 * time.Second,
		MessagesPerSecond: 50,
	})
	if err != nil {
		return err
	}
	mux := http.NewServeMux()
	mux.Handle("/realtime", server)
	mux.HandleFunc("/stats", func(w http.ResponseWriter, _ *http.Request) {
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		json.NewEncoder(w).Encode(stats{
			Heap: int(m.HeapInuse + m.StackInuse), Total: int(m.Sys), Goroutines: runtime.NumGoroutine(),
			Connections: len(server.Connections()),
		})
	})
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	httpServer := &http.Server{Handler: mux, ReadHeaderTimeout: 2 * time.Second, IdleTimeout: 2 * time.Second, MaxHeaderBytes: 16 << 10}
	served := make(chan struct{})
	go func() {
		defer close(served)
		httpServer.Serve(listener)
	}()
	fmt.Println(listener.Addr())
	io.Copy(io.Discard, os.Stdin)
	server.Close()
	httpServer.Close()
	<-served
	manager.Close()
	return goleak.Find()
}

// startChild starts the test binary as another program, which goes on until stop is
// called, and returns what it prints first.
func startChild(t *testing.T, as string) (printed string, stop func()) {
	t.Helper()
	command := exec.Command(os.Args[0])
	command.Env = append(os.Environ(), role+"="+as)
	command.Stderr = os.Stderr
	command.SysProcAttr = child.Attributes()
	in, err := command.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := command.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := command.Start(); err != nil {
		t.Fatal(err)
	}
	stop = sync.OnceFunc(func() {
		in.Close()
		if err := command.Wait(); err != nil {
			t.Errorf("%s: %v", as, err)
		}
	})
	t.Cleanup(stop)
	lines := bufio.NewScanner(out)
	if !lines.Scan() {
		t.Fatalf("%s did not start", as)
	}
	return lines.Text(), stop
}

// process is the server, seen from the test.
type process struct {
	*testing.T
	address string
	client  *http.Client
}

// start starts the server; when the test ends it is stopped, and must have left no
// goroutine behind.
func start(t *testing.T) *process {
	address, _ := startChild(t, "server")
	transport := &http.Transport{}
	t.Cleanup(transport.CloseIdleConnections)
	return &process{T: t, address: address, client: &http.Client{Transport: transport}}
}

func (p *process) stats() (s stats) {
	p.Helper()
	response, err := p.client.Get("http://" + p.address + "/stats")
	if err != nil {
		p.Fatal(err)
	}
	defer response.Body.Close()
	if err := json.NewDecoder(response.Body).Decode(&s); err != nil {
		p.Fatal(err)
	}
	return s
}
