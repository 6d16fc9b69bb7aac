package torture

import (
	"net/http"
	"os"
	"strings"
	"testing"
	"time"
)

func answers(p *process) bool {
	c := http.Client{Timeout: 500 * time.Millisecond, Transport: &http.Transport{DisableKeepAlives: true}}
	response, err := c.Get(p.url() + "/admin/sharedata/nothing")
	if err != nil {
		return false
	}
	response.Body.Close()
	return response.StatusCode == http.StatusNotFound
}

// eventually waits until the condition holds.
func eventually(t *testing.T, what string, holds func() bool) {
	t.Helper()
	for deadline := time.Now().Add(testTimeout); !holds(); pause(t.Context(), 10*time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("%s did not come about", what)
		}
	}
}

func TestProcess_Restart(t *testing.T) {
	p := newProcess("server", server(t), t.TempDir(), "-store", "mem:")
	defer p.kill()
	for name, begin := range map[string]func() error{"kill": p.kill, "end": p.end} {
		if err := p.start(); err != nil {
			t.Fatal(err)
		}
		if err := p.start(); err == nil {
			t.Errorf("%s: it was started twice", name)
		}
		if !answers(p) || p.unexpectedEnd() != nil {
			t.Errorf("%s: it does not answer, or unexpectedEnd: %v", name, p.unexpectedEnd())
		}
		if err := begin(); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if err := begin(); err != nil {
			t.Errorf("%s, again: %v", name, err)
		}
		if p.url() != "" || p.unexpectedEnd() != nil {
			t.Errorf("%s: it is at %q, unexpectedEnd: %v", name, p.url(), p.unexpectedEnd())
		}
	}
	if err := p.startAndKill(5 * time.Millisecond); err != nil || p.url() != "" {
		t.Errorf("startAndKill at %q: %v", p.url(), err)
	}
}

func TestProcess_Pause(t *testing.T) {
	p := newProcess("server", server(t), t.TempDir(), "-store", "mem:")
	defer p.kill()
	if err := p.pause(); err == nil {
		t.Error("one that does not run was paused")
	}
	if err := p.start(); err != nil {
		t.Fatal(err)
	}
	if err := p.pause(); err != nil {
		t.Fatal(err)
	}
	// The signal takes effect a moment after it was sent.
	eventually(t, "the pause", func() bool { return !answers(p) })
	if err := p.resume(); err != nil {
		t.Fatal(err)
	}
	eventually(t, "an answer", func() bool { return answers(p) })
	if err := p.pause(); err != nil {
		t.Fatal(err)
	}
	if err := p.kill(); err != nil {
		t.Errorf("kill while it is paused: %v", err)
	}
}

func TestProcess_UnexpectedEnd(t *testing.T) {
	p := newProcess("server", server(t), t.TempDir(), "-store", "mem:")
	defer p.kill()
	if err := p.start(); err != nil {
		t.Fatal(err)
	}
	other, err := os.FindProcess(p.running.command.Process.Pid)
	if err != nil {
		t.Fatal(err)
	}
	if err := other.Kill(); err != nil {
		t.Fatal(err)
	}
	eventually(t, "its end", func() bool { return p.unexpectedEnd() != nil })
}

func TestProcess_StartFails(t *testing.T) {
	p := newProcess("server", server(t), t.TempDir(), "-store", "paper:")
	if err := p.start(); err == nil || !strings.Contains(err.Error(), "paper:") {
		t.Errorf("got %v", err)
	}
	if p.forbiddenLog() != "" {
		t.Errorf("there is an forbiddenLog: %s", p.forbiddenLog())
	}
}

func TestProcess_ForbiddenLog(t *testing.T) {
	p := newProcess("server", "none", t.TempDir())
	for _, text := range []string{"WARNING: DATA RACE\nWrite at", "panic: runtime error", "level=ERROR msg=\"observer panicked\""} {
		if err := os.WriteFile(p.log, []byte("one\n"+text+"\nthree\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		if p.forbiddenLog() == "" {
			t.Errorf("%q raises no forbiddenLog", text)
		}
	}
}

// A server on Redis starts while Redis is not there, and works when it is.
func TestServer_StartsWithoutStore(t *testing.T) {
	requireRedis(t, Options{Store: StoreRedis})
	o := Options{Store: StoreRedis, Dir: t.TempDir(), Processes: 1}
	opened, err := openRedis(o)
	if err != nil {
		t.Fatal(err)
	}
	defer opened.close()
	r := opened.(*redisServer)
	if err := r.process.Kill(); err != nil {
		t.Fatal(err)
	}
	p := newProcess("server", server(t), t.TempDir(), "-store", r.flag(0))
	defer p.kill()
	if err := p.start(); err != nil {
		t.Fatal(err)
	}
	if answers(p) {
		t.Error("it knows that something is not there, without its store")
	}
	if err := r.process.Restart(); err != nil {
		t.Fatal(err)
	}
	eventually(t, "an answer", func() bool { return answers(p) })
}
