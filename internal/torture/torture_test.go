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

	"github.com/safe-go/safe/internal/redistest"
)

var (
	flagStore     = flag.String("torture.store", "", "`store` for TestTorture: mem, bolt or redis; none: a short run on each")
	flagProcesses = flag.Int("torture.processes", 0, "`number` of servers")
	flagClients   = flag.Int("torture.clients", 0, "`number` of clients")
	flagShareData = flag.Int("torture.sharedata", 0, "`number` of ShareData")
	flagDuration  = flag.Duration("torture.duration", 0, "`time` of work under faults")
	flagEvery     = flag.Duration("torture.every", 0, "mean `time` between faults; negative for none")
	flagThink     = flag.Duration("torture.think", 0, "mean `time` between two actions of a client")
	flagFaults    = flag.String("torture.faults", "", "`list` of the only faults to inject")
	flagSeeds     = flag.Int("torture.seeds", 1, "`number` of runs, each with a seed of its own")
	flagSeed      = flag.Uint64("torture.seed", 0, "`seed` of the first run; 0: a random one")
	flagKills     = flag.Int("torture.kills", 0, "`number` of kills for TestKill")
	flagRace      = flag.Bool("torture.race", raceEnabled, "build the servers with the race detector")
	flagPlant     = flag.String("torture.plant", "", "`bug` to plant into the servers")
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

// server builds the server once.
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

// dir is where a run keeps its files.
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

// run runs what the flags and the options say, and reports it.
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

// judge fails the test where a promise was broken.
func judge(t *testing.T, report *Report, repeat string) {
	t.Helper()
	if report == nil {
		return
	}
	t.Logf("%v", report)
	if s := report.Summary; s.Accepted < 100 || s.Live < 300 || s.Resumed < 5 || s.Duplicates < 5 || s.Administered < 5 {
		t.Errorf("seed %d: so little happened that the verdict means nothing", report.Options.Seed)
	}
	if report.Err() != nil || t.Failed() {
		t.Errorf("seed %d failed; repeat it with\n\tgo test ./internal/torture -v %s", report.Options.Seed, repeat)
	}
}

// seedOf is the seed of the n-th run.
func seedOf(n int) uint64 {
	if *flagSeed == 0 {
		return rand.Uint64()>>1 | 1
	}
	return *flagSeed + uint64(n)
}

// given are the options that the flags set.
func given() Options {
	o := Options{
		Store: *flagStore, Processes: *flagProcesses, Clients: *flagClients, ShareData: *flagShareData,
		Duration: *flagDuration, Every: *flagEvery, Think: *flagThink, Plant: *flagPlant,
	}
	for name := range strings.FieldsFuncSeq(*flagFaults, func(r rune) bool { return r == ',' }) {
		o.Faults = append(o.Faults, Fault(name))
	}
	return o
}

// arguments is the command line of a run.
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
		{"plant", o.Plant != "", o.Plant},
	} {
		if setting.set {
			text += " -torture." + setting.name + " " + setting.text
		}
	}
	return text
}

// needRedis skips a test where there is no Redis, unless that is a failure.
func needRedis(t *testing.T, o Options) {
	t.Helper()
	if o.Store != StoreRedis {
		return
	}
	if _, err := exec.LookPath("redis-server"); err != nil {
		if os.Getenv(redistest.RequireVariable) != "" {
			t.Fatalf("%s is set, and redis-server is not installed: %v", redistest.RequireVariable, err)
		}
		t.Skipf("redis-server is not installed, so nothing is tried on Redis: install the package redis-server (Debian, Ubuntu) or redis (elsewhere)")
	}
}

// short are the runs that belong to every test of the project.
func short() []Options {
	duration := 16 * time.Second
	if testing.Short() {
		duration = 4 * time.Second
	}
	return []Options{
		{Store: StoreBolt, Duration: duration * 3 / 4, Clients: 8},
		{Store: StoreRedis, Processes: 3, Duration: duration, Clients: 10},
	}
}

func TestTorture(t *testing.T) {
	if *flagStore == "" {
		for _, o := range short() {
			t.Run(o.Store, func(t *testing.T) {
				needRedis(t, o)
				o.Seed = seedOf(0)
				judge(t, run(t, o), "-run TestTorture "+arguments(o))
			})
		}
		return
	}
	for n := range *flagSeeds {
		o := given()
		o.Seed = seedOf(n)
		t.Run(fmt.Sprint("seed ", o.Seed), func(t *testing.T) {
			needRedis(t, o)
			judge(t, run(t, o), "-run TestTorture "+arguments(o))
		})
	}
}

// What a server on a file has acknowledged is there after kill -9, whenever
// that was, and clients go on where they were.
func TestKill(t *testing.T) {
	o := given()
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
	report := run(t, o)
	judge(t, report, fmt.Sprintf("-run TestKill -torture.kills %d -torture.clients %d -torture.seed %d", o.Kills, o.Clients, o.Seed))
	if report == nil || t.Failed() {
		return
	}
	if s := report.Summary; report.Faults[FaultKill] != o.Kills || s.Resumed < o.Kills || s.Accepted < 10*o.Kills {
		t.Errorf("%d kills, %d resumed, %d accepted: that is too little to mean something", report.Faults[FaultKill], s.Resumed, s.Accepted)
	}
}
