package torture

import (
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/safe-go/safe/internal/checker"
	"github.com/safe-go/safe/internal/redistest"
)

var (
	flagStore     = flag.String("torture.store", "", "`store` for TestTorture: mem, bolt or redis; none: a short run on each")
	flagProcesses = flag.Int("torture.processes", 0, "`number` of servers")
	flagClients   = flag.Int("torture.clients", 0, "`number` of clients")
	flagStreams   = flag.Bool("torture.streams", false, "let half of the clients use server-sent events and POST, instead of a quarter")
	flagShareData = flag.Int("torture.sharedata", 0, "`number` of ShareData")
	flagDuration  = flag.Duration("torture.duration", 0, "`time` of work under faults")
	flagEvery     = flag.Duration("torture.every", 0, "mean `time` between faults; negative for none")
	flagThink     = flag.Duration("torture.think", 0, "mean `time` between two actions of a client")
	flagFaults    = flag.String("torture.faults", "", "`list` of the only faults to inject")
	flagSeeds     = flag.Int("torture.seeds", 1, "`number` of runs, each with a seed of its own")
	flagSeed      = flag.Uint64("torture.seed", 0, "`seed` of the first run; 0: a random one")
	flagRetention = flag.Int("torture.retention", 0, "`number` of entries that the stores keep of each history; 0: all, and few in every other run")
	flagKills     = flag.Int("torture.kills", 0, "`number` of kills for TestKill")
	flagRace      = flag.Bool("torture.race", raceEnabled, "build the servers with the race detector")
	flagBug       = flag.String("torture.bug", "", "`bug` of the servers")
	flagKeep      = flag.Bool("torture.keep", false, "keep the files of servers and stores")
)

var programs struct {
	sync.Once
	dir, server string
	err         error
}

func TestMain(m *testing.M) {
	flag.Parse()
	goleak.VerifyTestMain(m, goleak.Cleanup(func(code int) {
		if programs.dir != "" {
			os.RemoveAll(programs.dir)
		}
		os.Exit(code)
	}))
}

// server returns the program of the servers, which it builds once.
func server(t *testing.T) string {
	t.Helper()
	programs.Do(func() {
		if programs.dir, programs.err = os.MkdirTemp("", "torture"); programs.err == nil {
			programs.server, programs.err = Build(programs.dir, *flagRace)
		}
	})
	if programs.err != nil {
		t.Fatal(programs.err)
	}
	return programs.server
}

// dir returns the folder for the files of a run.
func dir(t *testing.T) string {
	if !*flagKeep {
		return t.TempDir()
	}
	dir, err := os.MkdirTemp("", "torture-run")
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("files are kept in %s", dir)
	return dir
}

// run makes one run and returns its report.
func run(t *testing.T, o Options) *Report {
	t.Helper()
	o.Server, o.Dir = server(t), dir(t)
	if o.Log == nil && testing.Verbose() {
		began := time.Now()
		o.Log = func(format string, values ...any) {
			t.Logf("%7.3f "+format, append([]any{time.Since(began).Seconds()}, values...)...)
		}
	}
	report, err := Run(t.Context(), o)
	if err != nil {
		t.Errorf("seed %d: %v", o.Seed, err)
	}
	return report
}

// check fails the test if a promise was broken, or if too little happened.
func check(t *testing.T, report *Report, repeat string) {
	t.Helper()
	if report == nil {
		return
	}
	t.Logf("%v", report)
	if s := report.Summary; s.Accepted < 100 || s.Live < 300 || s.Resumed < 5 || s.Duplicates < 5 || s.Administered < 5 ||
		report.StreamFrames < 50 || report.Posts < 20 {
		t.Errorf("seed %d: too little happened to prove anything", report.Options.Seed)
	}
	if report.Err() != nil || t.Failed() {
		t.Errorf("seed %d failed; repeat it with\n\tgo test ./internal/torture -v %s", report.Options.Seed, repeat)
	}
}

// seedOf returns the seed of the n-th run.
func seedOf(n int) uint64 {
	if *flagSeed == 0 {
		return rand.Uint64()>>1 | 1
	}
	return *flagSeed + uint64(n)
}

// flagOptions returns the options that the flags set.
func flagOptions() Options {
	o := Options{
		Store: *flagStore, Processes: *flagProcesses, Clients: *flagClients, ShareData: *flagShareData,
		Duration: *flagDuration, Every: *flagEvery, Think: *flagThink, Bug: *flagBug,
		Retention: *flagRetention, HalfStreams: *flagStreams,
	}
	for name := range strings.FieldsFuncSeq(*flagFaults, func(r rune) bool { return r == ',' }) {
		o.Faults = append(o.Faults, Fault(name))
	}
	return o
}

// arguments returns the command line of a run.
func arguments(o Options) string {
	text := fmt.Sprintf("-torture.seed %d -torture.store %s", o.Seed, o.Store)
	for _, setting := range []struct {
		name string
		set  bool
		text string
	}{
		{"processes", o.Processes != 0, fmt.Sprint(o.Processes)},
		{"clients", o.Clients != 0, fmt.Sprint(o.Clients)},
		{"sharedata", o.ShareData != 0, fmt.Sprint(o.ShareData)},
		{"duration", o.Duration != 0, o.Duration.String()},
		{"every", o.Every != 0, o.Every.String()},
		{"think", o.Think != 0, o.Think.String()},
		{"faults", *flagFaults != "", *flagFaults},
		{"retention", o.Retention != 0, fmt.Sprint(o.Retention)},
		{"streams=true", o.HalfStreams, ""},
		{"bug", o.Bug != "", o.Bug},
	} {
		if setting.set {
			text += " -torture." + setting.name + " " + setting.text
		}
	}
	return text
}

// requireRedis skips a test that needs Redis where it is missing, or fails it where
// SAFE_REQUIRE_REDIS is set.
func requireRedis(t *testing.T, o Options) {
	t.Helper()
	if o.Store != StoreRedis {
		return
	}
	if _, err := exec.LookPath("redis-server"); err != nil {
		if os.Getenv(redistest.RequireVariable) != "" {
			t.Fatalf("%s is set, and redis-server is not installed: %v", redistest.RequireVariable, err)
		}
		t.Skipf("redis-server is not installed, so nothing is tested on Redis: install the package redis-server (Debian, Ubuntu) or redis (elsewhere)")
	}
}

// shortRetention is a retention with which histories are read from their snapshots.
const shortRetention = 30

// short returns the runs that are part of all tests of the project.
func short() []Options {
	duration := 10 * time.Second
	if testing.Short() {
		duration = 4 * time.Second
	}
	return []Options{
		{Store: StoreBolt, Duration: duration * 3 / 4, Clients: 8},
		{Store: StoreRedis, Processes: 3, Duration: duration, Clients: 10, HalfStreams: true, Retention: shortRetention},
	}
}

func TestTorture(t *testing.T) {
	if *flagStore == "" {
		for _, o := range short() {
			t.Run(o.Store, func(t *testing.T) {
				requireRedis(t, o)
				o.Seed = seedOf(0)
				check(t, run(t, o), "-run TestTorture "+arguments(o))
			})
		}
		return
	}
	for n := range *flagSeeds {
		o := flagOptions()
		o.Seed = seedOf(n)
		if o.Retention == 0 && n%2 == 1 {
			o.Retention = shortRetention
		}
		t.Run(fmt.Sprint("seed ", o.Seed), func(t *testing.T) {
			requireRedis(t, o)
			check(t, run(t, o), "-run TestTorture "+arguments(o))
		})
	}
}

// What a server on a file has acknowledged survives kill -9 at any moment, and clients
// resume.
func TestKill(t *testing.T) {
	o := flagOptions()
	o.Store, o.Kills, o.Seed = StoreBolt, *flagKills, seedOf(0)
	switch {
	case o.Kills > 0:
	case testing.Short():
		o.Kills = 4
	default:
		o.Kills = 10
	}
	if o.Clients == 0 {
		o.Clients = 8
	}
	if o.Retention == 0 {
		o.Retention = shortRetention
	}
	report := run(t, o)
	check(t, report, fmt.Sprintf("-run TestKill -torture.kills %d -torture.clients %d -torture.retention %d -torture.seed %d", o.Kills, o.Clients, o.Retention, o.Seed))
	if report == nil || t.Failed() {
		return
	}
	if s := report.Summary; report.Faults[FaultKill] != o.Kills || s.Resumed < o.Kills || s.Accepted < 10*o.Kills {
		t.Errorf("%d kills, %d resumed, %d accepted: too little happened to prove anything", report.Faults[FaultKill], s.Resumed, s.Accepted)
	}
}

// Servers that break a promise on purpose are found: otherwise a run that finds nothing
// would prove nothing.
func TestTorture_BugsAreFound(t *testing.T) {
	for _, test := range []struct {
		options Options
		want    checker.Promise
	}{
		{Options{Bug: "duplicate-on-retry", Store: StoreMemory, Every: -1}, checker.OnceOnly},
		{Options{Bug: "skip-frame", Store: StoreMemory, Every: -1}, checker.Gapless},
		{Options{Bug: "wrong-patch", Store: StoreMemory, Every: -1}, checker.InSync},
		{Options{Bug: "skip-event", Store: StoreMemory, HalfStreams: true, Every: -1}, checker.Gapless},
		{Options{Bug: "wrong-event", Store: StoreMemory, HalfStreams: true, Every: -1}, checker.InSync},
		{Options{Bug: "ack-before-append", Store: StoreBolt, Kills: 4}, checker.CommittedBeforeSeen},
		{Options{Bug: "skip-notification", Store: StoreRedis, Processes: 3, Every: -1}, checker.Complete},
	} {
		t.Run(test.options.Bug, func(t *testing.T) {
			t.Parallel()
			o := test.options
			requireRedis(t, o)
			o.Duration, o.Clients, o.QuiesceTimeout = 1600*time.Millisecond, 8, 3*time.Second
			var found []checker.Violation
			for attempt := 0; len(found) == 0; attempt++ { // a client may subscribe to nothing that the bug is in
				o.Seed = seedOf(attempt)
				report := run(t, o)
				if report == nil {
					return
				}
				if found = report.Violations.Of(test.want); len(found) == 0 && attempt == 2 {
					t.Fatalf("no violation of %q:\n%v", test.want, report)
				}
			}
			t.Logf("%d violations of %q, such as %v", len(found), test.want, found[0])
		})
	}
}
