package redistest

import (
	"errors"
	"fmt"
	"os/exec"
	"time"

	goredis "github.com/redis/go-redis/v9"
)

// ErrNoProgram is returned by Launch and LaunchCluster where the program is
// not installed.
var ErrNoProgram = errors.New("redis-server is not installed")

// Options say how servers are started. Nil options are the defaults.
type Options struct {
	// Fsync is the server's appendfsync: "always", "everysec" or "no". The
	// default is "no", which loses nothing when the server is killed; "off" means
	// no append-only file, so that a restart loses everything.
	Fsync string
	// Args are further arguments of redis-server, such as "--maxmemory",
	// "100mb". They come last and therefore win.
	Args []string
	// Program is the server's program. The default is redis-server, looked for
	// in the PATH.
	Program string
	// Replicas is how many replicas each master of a cluster gets. The default is
	// none.
	Replicas int
	// StartTimeout is how long to wait for a server to answer, or for a cluster
	// to be complete. The default is 30 s.
	StartTimeout time.Duration
}

// settings are Options with the defaults filled in.
type settings struct {
	program      string
	args         []string
	cluster      bool
	replicas     int
	sentinel     string // the configuration of a Sentinel; empty for a server
	startTimeout time.Duration
}

func (o *Options) settings() (settings, error) {
	if o == nil {
		o = &Options{}
	}
	s := settings{startTimeout: o.StartTimeout, replicas: o.Replicas}
	if s.startTimeout == 0 {
		s.startTimeout = 30 * time.Second
	}
	switch o.Fsync {
	case "":
		s.args = []string{"--appendonly", "yes", "--appendfsync", "no"}
	case "always", "everysec", "no":
		s.args = []string{"--appendonly", "yes", "--appendfsync", o.Fsync}
	case "off":
		s.args = []string{"--appendonly", "no"}
	default:
		return s, fmt.Errorf(`redistest: Fsync is %q; use "always", "everysec", "no" or "off"`, o.Fsync)
	}
	s.args = append(s.args, o.Args...)
	program := o.Program
	if program == "" {
		program = "redis-server"
	}
	path, err := exec.LookPath(program)
	if err != nil {
		return s, fmt.Errorf("redistest: %w: install the package redis-server (Debian, Ubuntu) or redis (elsewhere): %v", ErrNoProgram, err)
	}
	s.program = path
	return s, nil
}

// ClientOptions returns the options of this package's clients: timeouts that suit
// a server on loopback, and calls that end with their contexts.
func ClientOptions(addr string) *goredis.Options {
	return &goredis.Options{
		Addr:                  addr,
		DialTimeout:           2 * time.Second,
		ReadTimeout:           5 * time.Second,
		WriteTimeout:          5 * time.Second,
		ContextTimeoutEnabled: true,
	}
}
