package torture

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/safe-go/safe/internal/child"
)

// process is a server that can be started many times, each time on a new port. It is
// safe for any number of goroutines.
type process struct {
	node   string
	binary string
	args   []string
	log    string // the file with its standard error

	mu      sync.Mutex
	running *programRun // nil while it does not run
}

// programRun is one run of the server's program.
type programRun struct {
	command *exec.Cmd
	url     string
	ended   chan struct{} // closed when the process has ended
	err     error         // how it ended
	// expected says that the driver ended it. Guarded by process.mu.
	expected bool
}

// startTimeout bounds the time until a server listens. The machine may be busy.
const startTimeout = time.Minute

// newProcess returns a server that is not started. Its log is in dir.
func newProcess(node, binary, dir string, args ...string) *process {
	return &process{
		node: node, binary: binary, log: filepath.Join(dir, node+".log"),
		args: append([]string{"-node", node}, args...),
	}
}

// start starts the server and returns when it listens.
func (p *process) start() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.running != nil {
		return fmt.Errorf("%s runs already", p.node)
	}
	run, out, err := p.launch()
	if err != nil {
		return err
	}
	defer out.Close()
	if run.url, err = listening(out); err != nil {
		err = fmt.Errorf("%s does not listen: %w; the end of its log:\n%s", p.node, err, p.logTail())
		return errors.Join(err, run.kill())
	}
	p.running = run
	return nil
}

// startAndKill starts the server and kills it some time later, which may be before it
// listens.
func (p *process) startAndKill(after time.Duration) error {
	run, out, err := p.launch()
	if err != nil {
		return err
	}
	defer out.Close()
	time.Sleep(after)
	return run.kill()
}

// launch starts the program. out is its standard output.
func (p *process) launch() (run *programRun, out *os.File, err error) {
	log, err := os.OpenFile(p.log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, nil, err
	}
	defer log.Close() // the server has its own handle
	out, in, err := os.Pipe()
	if err != nil {
		return nil, nil, err
	}
	defer in.Close() // the server has its own
	command := exec.Command(p.binary, p.args...)
	command.SysProcAttr = child.Attributes()
	command.Stdout, command.Stderr = in, log
	if err := command.Start(); err != nil {
		return nil, nil, errors.Join(err, out.Close())
	}
	run = &programRun{command: command, ended: make(chan struct{})}
	go func() {
		defer close(run.ended)
		run.err = command.Wait()
	}()
	return run, out, nil
}

// listening reads the URL from the first line that a server prints.
func listening(out *os.File) (url string, err error) {
	if err := out.SetReadDeadline(time.Now().Add(startTimeout)); err != nil {
		return "", err
	}
	line, err := bufio.NewReader(io.LimitReader(out, 1000)).ReadString('\n')
	if err != nil {
		return "", err
	}
	url, found := strings.CutPrefix(strings.TrimSpace(line), "listening on ")
	if !found {
		return "", fmt.Errorf("its first line is %q", line)
	}
	return url, nil
}

func (i *programRun) kill() error {
	err := i.command.Process.Kill()
	<-i.ended
	if errors.Is(err, os.ErrProcessDone) {
		return nil
	}
	return err
}

// url returns where the server listens; empty while it does not run.
func (p *process) url() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.running == nil {
		return ""
	}
	return p.running.url
}

// address returns the host and port of url.
func (p *process) address() string { return strings.TrimPrefix(p.url(), "http://") }

// kill kills the server and returns when it has ended.
func (p *process) kill() error {
	run := p.take()
	if run == nil {
		return nil
	}
	return run.kill()
}

// endTimeout is how long a graceful shutdown may take.
const endTimeout = 20 * time.Second

// end shuts the server down gracefully and returns when it has ended.
func (p *process) end() error {
	run := p.take()
	if run == nil {
		return nil
	}
	if err := run.command.Process.Signal(syscall.SIGTERM); err != nil {
		return errors.Join(err, run.kill())
	}
	timer := time.NewTimer(endTimeout)
	defer timer.Stop()
	select {
	case <-run.ended:
		return nil // its exit status is not 0 where connections had to be cut
	case <-timer.C:
		return errors.Join(fmt.Errorf("%s did not end within %v of SIGTERM", p.node, endTimeout), run.kill())
	}
}

// take takes the current run, if there is one, for the driver to end.
func (p *process) take() *programRun {
	p.mu.Lock()
	defer p.mu.Unlock()
	run := p.running
	if run != nil {
		run.expected = true
	}
	p.running = nil
	return run
}

// pause stops the server with SIGSTOP, resume continues it.
func (p *process) pause() error  { return p.signal(child.Pause) }
func (p *process) resume() error { return p.signal(child.Resume) }

func (p *process) signal(send func(*os.Process) error) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.running == nil {
		return fmt.Errorf("%s does not run", p.node)
	}
	return send(p.running.command.Process)
}

// unexpectedEnd says how the server ended, if the driver did not end it.
func (p *process) unexpectedEnd() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.running == nil || p.running.expected {
		return nil
	}
	select {
	case <-p.running.ended:
		return fmt.Errorf("%s ended by itself: %v; the end of its log:\n%s", p.node, p.running.err, p.logTail())
	default:
		return nil
	}
}

// forbiddenLogs must not appear in the log of a server.
var forbiddenLogs = []string{"WARNING: DATA RACE", "panic: ", "panicked", "fatal error: "}

// forbiddenLog returns the part of the log from the first forbidden text on; empty if
// there is none.
func (p *process) forbiddenLog() string {
	text, err := os.ReadFile(p.log)
	if err != nil {
		return ""
	}
	for _, forbiddenLog := range forbiddenLogs {
		if _, after, found := strings.Cut(string(text), forbiddenLog); found {
			return p.node + " logged: " + forbiddenLog + after[:min(len(after), 6000)]
		}
	}
	return ""
}

// logTail returns the end of the log.
func (p *process) logTail() string {
	text, err := os.ReadFile(p.log)
	if err != nil {
		return err.Error()
	}
	return string(text[max(0, len(text)-2000):])
}

// serverPackage is the program that Run starts.
const serverPackage = "github.com/safe-go/safe/internal/torture/server"

// Build compiles the server into the directory and returns the program's path. race
// enables the race detector.
func Build(dir string, race bool) (program string, err error) {
	program = filepath.Join(dir, "torture-server")
	args := []string{"build", "-o", program}
	if race {
		args = append(args, "-race")
	}
	out, err := exec.Command("go", append(args, serverPackage)...).CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("go build %s: %w\n%s", serverPackage, err, out)
	}
	return program, nil
}
