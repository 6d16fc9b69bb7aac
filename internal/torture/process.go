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

// process is one of the servers, and what is needed to start it again. Every
// start is on a port of its own. It is safe for any number of goroutines.
type process struct {
	node   string
	binary string
	args   []string
	log    string // the file with what it says

	mu      sync.Mutex
	running *incarnation // nil while it does not run
}

// incarnation is one run of the program.
type incarnation struct {
	command *exec.Cmd
	url     string
	gone    chan struct{} // closed once the process is gone
	err     error         // how it ended
	// wanted says that the driver ended it. Guarded by process.mu.
	wanted bool
}

// startTimeout bounds the time until a server listens. The machine may be busy.
const startTimeout = time.Minute

// newProcess returns a server that was not started yet. Its log goes into dir.
func newProcess(node, binary, dir string, args ...string) *process {
	return &process{
		node: node, binary: binary, log: filepath.Join(dir, node+".log"),
		args: append([]string{"-node", node}, args...),
	}
}

// start runs the program and returns when it listens.
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
		err = fmt.Errorf("%s does not listen: %w; its last words:\n%s", p.node, err, p.lastWords())
		return errors.Join(err, run.kill())
	}
	p.running = run
	return nil
}

// stillborn runs the program and kills it some time after, which may be before
// it listens. Nobody is told where.
func (p *process) stillborn(after time.Duration) error {
	run, out, err := p.launch()
	if err != nil {
		return err
	}
	defer out.Close()
	time.Sleep(after)
	return run.kill()
}

// launch runs the program. out is what it says.
func (p *process) launch() (run *incarnation, out *os.File, err error) {
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
	run = &incarnation{command: command, gone: make(chan struct{})}
	go func() {
		defer close(run.gone)
		run.err = command.Wait()
	}()
	return run, out, nil
}

// listening reads the first line that a server prints.
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

func (i *incarnation) kill() error {
	err := i.command.Process.Kill()
	<-i.gone
	if errors.Is(err, os.ErrProcessDone) {
		return nil
	}
	return err
}

// url is where the server listens, empty while it does not run.
func (p *process) url() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.running == nil {
		return ""
	}
	return p.running.url
}

// address is the host and port of url.
func (p *process) address() string { return strings.TrimPrefix(p.url(), "http://") }

// kill ends the server as kill -9 does, and returns when it is gone.
func (p *process) kill() error {
	run := p.take()
	if run == nil {
		return nil
	}
	return run.kill()
}

// endTimeout is how long a server may take to end gently.
const endTimeout = 20 * time.Second

// end asks the server to end, and returns when it is gone.
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
	case <-run.gone:
		return nil // with an error, where connections had to be cut
	case <-timer.C:
		return errors.Join(fmt.Errorf("%s did not end within %v of being asked to", p.node, endTimeout), run.kill())
	}
}

// take makes the process one that does not run, because the driver wants so.
func (p *process) take() *incarnation {
	p.mu.Lock()
	defer p.mu.Unlock()
	run := p.running
	if run != nil {
		run.wanted = true
	}
	p.running = nil
	return run
}

// pause stops the server as SIGSTOP does, resume lets it go on.
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

// died says how the server ended if nobody wanted it to.
func (p *process) died() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.running == nil || p.running.wanted {
		return nil
	}
	select {
	case <-p.running.gone:
		return fmt.Errorf("%s ended by itself: %v; its last words:\n%s", p.node, p.running.err, p.lastWords())
	default:
		return nil
	}
}

// alarms are what a server must not say.
var alarms = []string{"WARNING: DATA RACE", "panic: ", "panicked", "fatal error: "}

// alarm is the place in the log where something went wrong inside the server;
// empty if nothing did.
func (p *process) alarm() string {
	text, err := os.ReadFile(p.log)
	if err != nil {
		return ""
	}
	for _, alarm := range alarms {
		if _, after, found := strings.Cut(string(text), alarm); found {
			return p.node + " said: " + alarm + after[:min(len(after), 6000)]
		}
	}
	return ""
}

// lastWords is the end of the log.
func (p *process) lastWords() string {
	text, err := os.ReadFile(p.log)
	if err != nil {
		return err.Error()
	}
	return string(text[max(0, len(text)-2000):])
}
