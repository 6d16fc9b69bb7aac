package redistest

import (
	"context"
	"errors"
	"os"
	"testing"

	goredis "github.com/redis/go-redis/v9"
)

// RequireVariable is the environment variable that turns the skipping of tests
// where redis-server is missing into failing.
const RequireVariable = "SAFE_REQUIRE_REDIS"

// Server is a Process that belongs to a test: what fails ends the test, and
// the server stops with it. Its methods must be called where Fatal may be.
type Server struct {
	*Process
	t testing.TB
}

// Start starts a server for the test, in a temporary directory.
func Start(t testing.TB, options *Options) *Server {
	t.Helper()
	process, err := Launch(t.TempDir(), options)
	must(t, err)
	return own(t, process)
}

// own has the test stop the process.
func own(t testing.TB, process *Process) *Server {
	t.Cleanup(func() {
		if err := process.Stop(); err != nil {
			t.Errorf("stop the Redis server: %v", err)
		}
	})
	return &Server{Process: process, t: t}
}

// must ends the test for an error.
func must(t testing.TB, err error) {
	t.Helper()
	if errors.Is(err, ErrNoProgram) && os.Getenv(RequireVariable) == "" {
		t.Skipf("%v", err)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// Kill is Process.Kill.
func (s *Server) Kill() { s.t.Helper(); must(s.t, s.Process.Kill()) }

// Restart is Process.Restart.
func (s *Server) Restart() { s.t.Helper(); must(s.t, s.Process.Restart()) }

// Pause is Process.Pause.
func (s *Server) Pause() { s.t.Helper(); must(s.t, s.Process.Pause()) }

// Resume is Process.Resume.
func (s *Server) Resume() { s.t.Helper(); must(s.t, s.Process.Resume()) }

// Flush is Process.Flush.
func (s *Server) Flush() { s.t.Helper(); must(s.t, s.Process.Flush()) }

// StartSentinel starts a Sentinel for the test, as LaunchSentinel does.
func StartSentinel(t testing.TB, master *Server, options *Options) *Server {
	t.Helper()
	process, err := LaunchSentinel(t.TempDir(), master.Process, options)
	must(t, err)
	return own(t, process)
}

// Cluster is a Redis Cluster that belongs to a test.
type Cluster struct {
	// Nodes are its servers, as LaunchCluster orders them. The slots are dealt
	// out to the masters in their order.
	Nodes []*Server

	t         testing.TB
	processes []*Process
}

// StartCluster starts a cluster of n masters for the test. Nil options are the
// defaults.
func StartCluster(t testing.TB, n int, options *Options) *Cluster {
	t.Helper()
	processes, err := LaunchCluster(t.TempDir(), n, options)
	must(t, err)
	c := &Cluster{t: t, processes: processes}
	for _, process := range processes {
		c.Nodes = append(c.Nodes, own(t, process))
	}
	return c
}

// Client returns a new client of the cluster, which is closed with the test.
func (c *Cluster) Client() *goredis.ClusterClient {
	client := NewClusterClient(c.processes)
	c.t.Cleanup(func() {
		if err := client.Close(); err != nil && !errors.Is(err, goredis.ErrClosed) {
			c.t.Errorf("close the client of the cluster: %v", err)
		}
	})
	return client
}

// Addrs are where the nodes listen.
func (c *Cluster) Addrs() []string {
	addrs := make([]string, len(c.processes))
	for i, process := range c.processes {
		addrs[i] = process.Addr()
	}
	return addrs
}

// Await returns when every node finds the cluster complete, as after a Restart.
func (c *Cluster) Await() {
	c.t.Helper()
	ctx, cancel := context.WithTimeout(c.t.Context(), c.processes[0].settings.startTimeout)
	defer cancel()
	must(c.t, awaitCluster(ctx, c.processes))
}
