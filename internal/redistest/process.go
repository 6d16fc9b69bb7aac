package redistest

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"time"

	goredis "github.com/redis/go-redis/v9"

	"github.com/safe-go/safe/internal/child"
)

// ErrStopped is returned by the methods of a Process that was stopped.
var ErrStopped = errors.New("redistest: the server was stopped for good")

// Process is a Redis server and what is needed to start it again: its port and
// its directory stay the same however often it is killed. It is safe for any
// number of goroutines.
type Process struct {
	settings settings
	port     int
	dir      string

	// mu guards everything below. It is held while the server starts.
	mu      sync.Mutex
	running *running // nil while the server is not running
	stopped bool
	clients []interface{ Close() error }
}

// running is one run of the server's program.
type running struct {
	process *os.Process
	ended   chan struct{} // closed once the process is gone
}

// attempts is how many ports a start tries. More than one is needed when another
// program takes the port between the search for it and the server's start.
const attempts = 5

// Launch starts a server that keeps its files in the directory, which must
// exist, and returns when it answers. The caller stops it.
func Launch(dir string, options *Options) (*Process, error) {
	settings, err := options.settings()
	if err != nil {
		return nil, err
	}
	return launch(dir, settings)
}

func launch(dir string, settings settings) (*Process, error) {
	var failure error
	for range attempts {
		port, err := freePort()
		if err != nil {
			return nil, err
		}
		p := &Process{settings: settings, port: port, dir: dir}
		if failure = p.Restart(); failure == nil {
			return p, nil
		}
		if err := p.Stop(); err != nil {
			return nil, errors.Join(failure, err)
		}
		if free(port) {
			break // the server failed for another reason than its port
		}
	}
	return nil, failure
}

// SentinelName is the name by which a Sentinel of this package knows the master.
const SentinelName = "master"

// LaunchSentinel starts a Sentinel that watches the master and decides alone: it
// makes a replica the master when the master has not answered for half a second.
// Nil options are the defaults; Fsync and Args are not for Sentinels. The caller
// stops it.
func LaunchSentinel(dir string, master *Process, options *Options) (*Process, error) {
	settings, err := options.settings()
	if err != nil {
		return nil, err
	}
	settings.sentinel = fmt.Sprintf("sentinel monitor %[1]s 127.0.0.1 %[2]d 1\n"+
		"sentinel down-after-milliseconds %[1]s 500\nsentinel failover-timeout %[1]s 2000\n", SentinelName, master.port)
	return launch(dir, settings)
}

// Addr is where the server listens, host and port.
func (p *Process) Addr() string { return address(p.port) }

// Dir is where the server keeps its files.
func (p *Process) Dir() string { return p.dir }

// Client returns a new client of the server. Stop closes it; it may be closed
// before.
func (p *Process) Client() *goredis.Client {
	client := goredis.NewClient(ClientOptions(p.Addr()))
	p.mu.Lock()
	defer p.mu.Unlock()
	p.clients = append(p.clients, client)
	return client
}

// Kill ends the server as kill -9 does, and returns when it is gone. It is no
// error if the server is not running.
func (p *Process) Kill() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.killLocked()
}

func (p *Process) killLocked() error {
	if p.running == nil {
		return nil
	}
	if err := p.running.process.Kill(); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return fmt.Errorf("redistest: kill the server on %s: %w", p.Addr(), err)
	}
	<-p.running.ended
	p.running = nil
	return nil
}

// Restart kills the server if it runs, starts it on the same port and files,
// and returns when it has loaded them and answers.
func (p *Process) Restart() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.stopped {
		return ErrStopped
	}
	if err := p.killLocked(); err != nil {
		return err
	}
	if err := p.startLocked(); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.Background(), p.settings.startTimeout)
	defer cancel()
	if err := p.awaitLocked(ctx); err != nil {
		return errors.Join(fmt.Errorf("redistest: the server on %s does not answer: %w; the end of its log:\n%s", p.Addr(), err, p.logTail()), p.killLocked())
	}
	return nil
}

func (p *Process) startLocked() error {
	args, err := p.arguments()
	if err != nil {
		return err
	}
	command := exec.Command(p.settings.program, args...)
	command.SysProcAttr = child.Attributes()
	log, err := os.OpenFile(p.logFile(), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return fmt.Errorf("redistest: %w", err)
	}
	defer log.Close() // the server has its own handle
	command.Stdout, command.Stderr = log, log
	if err := command.Start(); err != nil {
		return fmt.Errorf("redistest: start %s: %w", p.settings.program, err)
	}
	run := &running{process: command.Process, ended: make(chan struct{})}
	go func() {
		defer close(run.ended)
		_ = command.Wait() // it was killed, or its log says why it ended
	}()
	p.running = run
	return nil
}

// arguments are those of the server's program.
func (p *Process) arguments() ([]string, error) {
	port := strconv.Itoa(p.port)
	if p.settings.sentinel != "" {
		// It keeps what it learns in its configuration.
		file := filepath.Join(p.dir, "sentinel.conf")
		if _, err := os.Stat(file); err == nil {
			return []string{file, "--sentinel"}, nil
		}
		text := "port " + port + "\nbind 127.0.0.1\ndir " + strconv.Quote(p.dir) + "\n" + p.settings.sentinel
		return []string{file, "--sentinel"}, os.WriteFile(file, []byte(text), 0o600)
	}
	args := []string{
		"--port", port,
		"--bind", "127.0.0.1",
		"--dir", p.dir,
		"--save", "",
		"--protected-mode", "no",
		"--repl-diskless-sync-delay", "0",
	}
	if p.settings.cluster {
		args = append(args, "--cluster-enabled", "yes", "--cluster-config-file", "nodes.conf", "--cluster-node-timeout", "2000")
	}
	return append(args, p.settings.args...), nil
}

// Pause stops the server as SIGSTOP does: its connections stay open, and
// nothing answers.
func (p *Process) Pause() error { return p.signal("pause", child.Pause) }

// Resume lets a paused server go on.
func (p *Process) Resume() error { return p.signal("resume", child.Resume) }

func (p *Process) signal(what string, send func(*os.Process) error) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.running == nil {
		return fmt.Errorf("redistest: %s the server on %s: it is not running", what, p.Addr())
	}
	if err := send(p.running.process); err != nil {
		return fmt.Errorf("redistest: %s the server on %s: %w", what, p.Addr(), err)
	}
	return nil
}

// Flush removes all that the server holds.
func (p *Process) Flush() error {
	ctx, cancel := context.WithTimeout(context.Background(), p.settings.startTimeout)
	defer cancel()
	return p.with(func(client *goredis.Client) error { return client.FlushAll(ctx).Err() })
}

// with calls do with a client of its own.
func (p *Process) with(do func(client *goredis.Client) error) error {
	client := goredis.NewClient(ClientOptions(p.Addr()))
	return errors.Join(do(client), client.Close())
}

// Stop kills the server for good and closes the clients. It may be called
// again. The directory is the caller's to remove.
func (p *Process) Stop() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.stopped = true
	var errs []error
	for _, client := range p.clients {
		if err := client.Close(); err != nil && !errors.Is(err, goredis.ErrClosed) {
			errs = append(errs, err)
		}
	}
	p.clients = nil
	return errors.Join(append(errs, p.killLocked())...)
}

func (p *Process) logFile() string {
	return filepath.Join(p.dir, fmt.Sprintf("redis-%d.log", p.port))
}

// logTail returns the end of the server's log.
func (p *Process) logTail() string {
	const enough = 2000
	log, err := os.ReadFile(p.logFile())
	if err != nil {
		return err.Error()
	}
	return string(log[max(0, len(log)-enough):])
}

// poll is the pause between two calls of a condition that is awaited.
const poll = 5 * time.Millisecond

var errEnded = errors.New("it has ended")

// await calls ready until it returns nil, and returns its last error when the
// context ends or the server does.
func await(ctx context.Context, ended <-chan struct{}, ready func() error) error {
	for {
		err := ready()
		if err == nil {
			return nil
		}
		select {
		case <-ended:
			return errEnded
		case <-ctx.Done():
			return fmt.Errorf("%w: %w", ctx.Err(), err)
		case <-time.After(poll):
		}
	}
}

// awaitLocked returns when the server that was started answers and has loaded
// its files. It is not misled by another server on the same port.
func (p *Process) awaitLocked(ctx context.Context) error {
	pid := fmt.Sprint(p.running.process.Pid)
	return await(ctx, p.running.ended, func() error {
		info, err := p.info()
		if err != nil {
			return err
		}
		if got := field(info, "process_id"); got != pid {
			return fmt.Errorf("process %s answers instead of %s", got, pid)
		}
		if p.settings.sentinel == "" && field(info, "loading") != "0" || field(info, "async_loading") == "1" {
			return errors.New("it is loading its files")
		}
		return nil
	})
}

// info asks the server about itself. It first sees whether the server is there: a
// client would log that it is not, and wait before it dials again.
func (p *Process) info() (text string, err error) {
	conn, err := net.DialTimeout("tcp", p.Addr(), time.Second)
	if err != nil {
		return "", err
	}
	_ = conn.Close()
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	err = p.with(func(client *goredis.Client) error {
		text, err = client.Info(ctx).Result()
		return err
	})
	return text, err
}

// field finds a value in what INFO and CLUSTER INFO return.
func field(info, name string) string {
	for line := range strings.Lines(info) {
		if value, found := strings.CutPrefix(line, name+":"); found {
			return strings.TrimSpace(value)
		}
	}
	return ""
}

// Ports are taken from below the range that systems give to outgoing
// connections. Otherwise a connection of anybody could take the port of a
// server that is down for a moment, and a client that dials it could even be
// connected to itself.
const (
	firstPort = 11_000
	lastPort  = 21_999
	// busOffset is how far above its port a server listens for the other
	// servers of its cluster.
	busOffset = 10_000
)

var errNoPort = errors.New("redistest: found no free port")

// freePort returns a port that is free at the moment, and whose cluster bus
// port is free too.
func freePort() (int, error) {
	for range 1000 {
		port := firstPort + rand.IntN(lastPort-firstPort+1)
		if free(port) && free(port+busOffset) {
			return port, nil
		}
	}
	return 0, errNoPort
}

func free(port int) bool {
	listener, err := net.Listen("tcp", address(port))
	if err != nil {
		return false
	}
	return listener.Close() == nil
}

func address(port int) string { return net.JoinHostPort("127.0.0.1", strconv.Itoa(port)) }
