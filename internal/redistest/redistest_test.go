package redistest

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	goredis "github.com/redis/go-redis/v9"
)

// get reads a key within a bounded time.
func get(t *testing.T, client goredis.UniversalClient, key string) (string, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	return client.Get(ctx, key).Result()
}

func set(t *testing.T, client goredis.UniversalClient, key, value string) {
	t.Helper()
	if err := client.Set(t.Context(), key, value, 0).Err(); err != nil {
		t.Fatal(err)
	}
}

func TestServer_KeepsDataAndPort(t *testing.T) {
	server := Start(t, nil)
	client := server.Client()
	set(t, client, "key", "value")
	addr := server.Addr()

	server.Kill()
	if !free(server.port) {
		t.Fatalf("something listens on %s after the kill", addr)
	}
	server.Kill() // is no error
	server.Restart()
	server.Restart()
	if server.Addr() != addr {
		t.Errorf("the server came back on %s; want %s", server.Addr(), addr)
	}
	if value, err := get(t, server.Client(), "key"); err != nil || value != "value" {
		t.Errorf("after a restart: %q, %v; want the value", value, err)
	}

	server.Flush()
	if value, err := get(t, server.Client(), "key"); !errors.Is(err, goredis.Nil) {
		t.Errorf("after a flush: %q, %v; want nothing", value, err)
	}
}

func TestServer_WithoutFileForgets(t *testing.T) {
	server := Start(t, &Options{Fsync: "off"})
	set(t, server.Client(), "key", "value")
	server.Restart()
	if value, err := get(t, server.Client(), "key"); !errors.Is(err, goredis.Nil) {
		t.Errorf("after a restart: %q, %v; want nothing", value, err)
	}
}

func TestOptions_ArgsWin(t *testing.T) {
	server := Start(t, &Options{Fsync: "everysec", Args: []string{"--maxmemory", "100mb", "--appendfsync", "no"}})
	config, err := server.Client().ConfigGet(t.Context(), "*").Result()
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]string{"maxmemory": "104857600", "appendfsync": "no", "appendonly": "yes", "dir": server.Dir()} {
		if config[name] != want {
			t.Errorf("%s is %q; want %q", name, config[name], want)
		}
	}
}

func TestPause_AcceptsButNoReply(t *testing.T) {
	server := Start(t, nil)
	client := server.Client()
	set(t, client, "key", "value")
	server.Pause()
	conn, err := net.Dial("tcp", server.Addr())
	if err != nil {
		t.Fatalf("dial a paused server: %v", err)
	}
	defer conn.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if value, err := client.Get(ctx, "key").Result(); err == nil {
		t.Errorf("a paused server answers %q", value)
	}
	server.Resume()
	if value, err := get(t, client, "key"); err != nil || value != "value" {
		t.Errorf("after it was resumed: %q, %v; want the value", value, err)
	}

	server.Pause()
	server.Kill() // also a paused one
	if err := server.Process.Pause(); err == nil {
		t.Error("a server that is not running was paused")
	}
}

func TestStop_IsFinal(t *testing.T) {
	require(t)
	process, err := Launch(t.TempDir(), nil)
	if err != nil {
		t.Fatal(err)
	}
	client := process.Client()
	for range 2 {
		if err := process.Stop(); err != nil {
			t.Errorf("Stop: %v", err)
		}
	}
	if err := process.Restart(); !errors.Is(err, ErrStopped) {
		t.Errorf("Restart of a stopped server: %v; want ErrStopped", err)
	}
	if err := client.Ping(t.Context()).Err(); !errors.Is(err, goredis.ErrClosed) {
		t.Errorf("its client: %v; want it closed", err)
	}
}

func TestLaunch_SaysWhyItFailed(t *testing.T) {
	require(t)
	process, err := Launch(t.TempDir(), &Options{Args: []string{"--no-such-setting", "1"}, StartTimeout: 5 * time.Second})
	if err == nil {
		t.Fatal("a server started with a setting that does not exist", process.Stop())
	}
	if !strings.Contains(err.Error(), "no-such-setting") {
		t.Errorf("the error leaves out what the server said: %v", err)
	}
	if _, err := Launch(t.TempDir(), &Options{Fsync: "sometimes"}); err == nil {
		t.Error("Launch took an unknown Fsync")
	}
	if _, err := Launch(t.TempDir(), &Options{Program: "no-such-program"}); !errors.Is(err, ErrNoProgram) {
		t.Errorf("Launch of a program that is missing: %v; want ErrNoProgram", err)
	}
}

func TestRestart_PortInUse(t *testing.T) {
	server := Start(t, nil)
	other := &Process{settings: server.settings, port: server.port, dir: t.TempDir()}
	if err := other.Restart(); err == nil {
		t.Errorf("a server on the port of another one is said to run: %v", other.Stop())
	}
	if value, err := server.Client().Ping(t.Context()).Result(); err != nil || value != "PONG" {
		t.Errorf("the server that had the port answers %q, %v", value, err)
	}
}

func TestCluster_RecoversFromKill(t *testing.T) {
	cluster := StartCluster(t, 3, nil)
	client := cluster.Client()
	for _, key := range []string{"a", "b", "c", "d", "e", "f"} {
		set(t, client, key, "value of "+key)
	}
	var masters atomic.Int64
	err := client.ForEachMaster(t.Context(), func(ctx context.Context, node *goredis.Client) error {
		masters.Add(1)
		return node.Ping(ctx).Err()
	})
	if err != nil || masters.Load() != 3 || len(cluster.Addrs()) != 3 {
		t.Fatalf("%d masters answer of %v, error %v; want 3", masters.Load(), cluster.Addrs(), err)
	}
	cluster.Nodes[1].Kill()
	cluster.Nodes[1].Restart()
	cluster.Await()
	for _, key := range []string{"a", "b", "c", "d", "e", "f"} {
		if value, err := get(t, client, key); err != nil || value != "value of "+key {
			t.Errorf("%s is %q, %v after the restart of a master", key, value, err)
		}
	}
}

func TestCluster_ReplicaTakesOver(t *testing.T) {
	cluster := StartCluster(t, 3, &Options{Replicas: 1})
	if len(cluster.Nodes) != 6 {
		t.Fatalf("%d nodes; want 6", len(cluster.Nodes))
	}
	set(t, cluster.Client(), "a", "value of a") // of slot 15495, so of the last master
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	// Replication is asynchronous: the reply does not wait for the replica.
	err := await(ctx, nil, func() error {
		keys, err := cluster.Nodes[5].Client().DBSize(ctx).Result()
		if err == nil && keys == 0 {
			err = errors.New("the replica does not have the key")
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	cluster.Nodes[2].Kill()
	err = await(ctx, nil, func() error {
		info, err := cluster.Nodes[5].Client().Info(ctx, "replication").Result()
		if err == nil && field(info, "role") != "master" {
			err = errors.New("its replica is still one")
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	if value, err := cluster.Nodes[5].Client().Get(ctx, "a").Result(); err != nil || value != "value of a" {
		t.Errorf("the replica has %q, %v", value, err)
	}
}

// require skips a test where the program is missing.
func require(t *testing.T) {
	t.Helper()
	_, err := (&Options{}).settings()
	must(t, err)
}

func TestStart_SkipsUnlessRequired(t *testing.T) {
	for _, required := range []string{"", "1"} {
		t.Setenv(RequireVariable, required)
		_, err := (&Options{Program: "no-such-program"}).settings()
		fake := &outcome{TB: t}
		must(fake, err)
		if fake.skipped != (required == "") || fake.failed != (required != "") {
			t.Errorf("%s=%q: skipped %t, failed %t", RequireVariable, required, fake.skipped, fake.failed)
		}
	}
	if os.Getenv(RequireVariable) == "" {
		t.Error("the variable was not set at last")
	}
}

// outcome notes how a test would have ended.
type outcome struct {
	testing.TB
	skipped, failed bool
}

func (o *outcome) Skipf(string, ...any) { o.skipped = true }
func (o *outcome) Fatal(...any)         { o.failed = !o.skipped }

func TestSentinel_FailsOver(t *testing.T) {
	master := Start(t, nil)
	host, port, err := net.SplitHostPort(master.Addr())
	if err != nil {
		t.Fatal(err)
	}
	replica := Start(t, &Options{Args: []string{"--replicaof", host + " " + port}})
	sentinel := StartSentinel(t, master, nil)
	set(t, master.Client(), "key", "value")
	client := goredis.NewSentinelClient(ClientOptions(sentinel.Addr()))
	defer client.Close()
	within := func(what string, ready func() error) {
		t.Helper()
		ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
		defer cancel()
		if err := await(ctx, nil, ready); err != nil {
			t.Fatalf("waited for %s: %v", what, err)
		}
	}
	within("the sentinel to know the replica, which is up to date", func() error {
		replicas, err := client.Replicas(t.Context(), SentinelName).Result()
		if err != nil || len(replicas) != 1 || replicas[0]["master-link-status"] != "ok" {
			return fmt.Errorf("%v, %w", replicas, err)
		}
		return replica.Client().Get(t.Context(), "key").Err()
	})
	master.Kill()
	within("the failover", func() error {
		addr, err := client.GetMasterAddrByName(t.Context(), SentinelName).Result()
		if err != nil || net.JoinHostPort(addr[0], addr[1]) != replica.Addr() {
			return fmt.Errorf("the master is %v, %w", addr, err)
		}
		return replica.Client().Set(t.Context(), "key", "other", 0).Err()
	})
	sentinel.Restart()
}
