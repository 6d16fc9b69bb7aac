package schedule

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/safe-go/safe/sharedata"
)

func TestRun_AtItsTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t, nil, nil)
		f.run()
		alice := &sharedata.Caller{Subject: "alice", Issuer: "issuer", Claims: []byte(`{"role":"clerk"}`)}
		p := proposal("a", time.Hour)
		p.Caller = alice
		id, err := f.scheduler.Schedule(sharedata.WithCaller(t.Context(), alice), p)
		if err != nil || id != "a" {
			t.Fatalf("%q, %v", id, err)
		}
		time.Sleep(time.Hour - time.Millisecond)
		f.wantList()
		f.wantWaiting("a")
		time.Sleep(time.Millisecond)
		synctest.Wait()
		f.wantList("a")
		f.wantWaiting()
		f.wantStory("a", "schedule by alice", "begin", "finish")
		made := f.transactions("list")
		if e := made[0]; len(made) != 1 || e.IdempotencyKey != "a" || e.Caller.Subject != "alice" || string(e.Caller.Claims) != `{"role":"clerk"}` || e.Time.Before(p.At) {
			t.Errorf("got %+v", made)
		}
	})
}

func TestRun_InOrderOfTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t, nil, nil)
		var names []string
		var all []Proposal
		for i := range maxInFlight + 200 { // more than are made at a time
			name := fmt.Sprintf("%04d", i)
			names = append(names, name)
			all = append(all, proposal(name, time.Duration(i)*time.Second))
		}
		rand.Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] })
		if _, err := f.scheduler.ScheduleAll(t.Context(), all); err != nil {
			t.Fatal(err)
		}
		time.Sleep(2 * time.Hour) // while no process is alive
		f.run()
		synctest.Wait()
		f.wantList(names...)
		f.wantWaiting()
	})
}

func TestRun_Restart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := newMemory(t)
		f := newFixture(t, store, nil)
		f.run()
		for i, name := range []string{"a", "b", "c"} {
			f.schedule(proposal(name, time.Duration(i+1)*time.Minute))
		}
		time.Sleep(90 * time.Second)
		f.stop()
		f.manager.Close()
		time.Sleep(time.Hour)
		f = newFixture(t, store, nil)
		f.wantWaiting("b", "c")
		f.run()
		synctest.Wait()
		f.wantList("a", "b", "c")
	})
}

func TestSchedule_Errors(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t, nil, &Options{MaxPending: 2 * parts})
		f.schedule(proposal("a", time.Hour))
		f.schedule(proposal("a", time.Hour)) // has no effect
		f.wantWaiting("a")
		for name, test := range map[string]struct {
			change func(p *Proposal)
			want   error
		}{
			"another time":  {func(p *Proposal) { p.At = p.At.Add(1) }, ErrExists},
			"other data":    {func(p *Proposal) { p.Data = "b" }, ErrExists},
			"another one":   {func(p *Proposal) { p.Caller = &sharedata.Caller{Subject: "bob"} }, ErrExists},
			"no time":       {func(p *Proposal) { p.At = time.Time{} }, ErrInvalid},
			"year 10000":    {func(p *Proposal) { p.At = time.Date(10000, 1, 1, 0, 0, 0, 0, time.UTC) }, ErrInvalid},
			"no ShareData":  {func(p *Proposal) { p.ShareDataID = "" }, ErrInvalid},
			"no function":   {func(p *Proposal) { p.FunctionID = "" }, ErrInvalid},
			"long id":       {func(p *Proposal) { p.ID = strings.Repeat("x", MaxIDBytes+1) }, ErrInvalid},
			"id not UTF-8":  {func(p *Proposal) { p.ID = "\xff" }, ErrInvalid},
			"data not JSON": {func(p *Proposal) { p.Data = func() {} }, ErrInvalid},
		} {
			p := proposal("a", time.Hour)
			test.change(&p)
			if _, err := f.scheduler.Schedule(t.Context(), p); !errors.Is(err, test.want) {
				t.Errorf("%s: %v, want %v", name, err, test.want)
			}
		}
		var err error
		for i := 0; err == nil && i < 1000; i++ {
			_, err = f.scheduler.Schedule(t.Context(), proposal(fmt.Sprint(i), time.Hour))
		}
		if !errors.Is(err, ErrFull) {
			t.Errorf("got %v, want ErrFull", err)
		}
		if _, err := f.scheduler.Get(t.Context(), "unknown"); !errors.Is(err, ErrUnknown) {
			t.Errorf("Get: %v", err)
		}
	})
}

func TestIDs_Escaped(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t, nil, nil)
		f.run()
		ids := []string{"/", "~", "~1", "\"", "\\", "ä", "a/b~c"}
		for i, id := range ids {
			f.schedule(proposal(id, time.Duration(i+1)*time.Second))
			if p, err := f.scheduler.Get(t.Context(), id); err != nil || p.ID != id || p.Begun {
				t.Errorf("%+v, %v", p, err)
			}
		}
		f.schedule(proposal("/x", time.Minute))
		if err := f.scheduler.Cancel(t.Context(), "/x"); err != nil {
			t.Error(err)
		}
		time.Sleep(time.Hour)
		f.wantList(ids...)
	})
}

func TestCancel(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var f *fixture
		var begun error
		f = newFixture(t, nil, &Options{Authorize: func(ctx context.Context, p Proposal) error {
			begun = f.scheduler.Cancel(ctx, p.ID)
			return nil
		}})
		f.run()
		f.schedule(proposal("cancelled", time.Minute))
		f.schedule(proposal("made", time.Minute))
		bob := sharedata.WithCaller(t.Context(), &sharedata.Caller{Subject: "bob"})
		if err := f.scheduler.Cancel(bob, "cancelled"); err != nil {
			t.Fatal(err)
		}
		if err := f.scheduler.Cancel(bob, "cancelled"); !errors.Is(err, ErrUnknown) {
			t.Errorf("got %v, want ErrUnknown", err)
		}
		time.Sleep(time.Hour)
		f.wantList("made")
		if !errors.Is(begun, ErrBegun) {
			t.Errorf("got %v, want ErrBegun", begun)
		}
		f.wantStory("cancelled", "schedule", "cancel by bob", "cancel by bob: unknown")
	})
}

func TestReplace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var f *fixture
		var begun error
		f = newFixture(t, nil, &Options{MaxPending: 2 * parts, Authorize: func(ctx context.Context, p Proposal) error {
			begun = f.scheduler.Replace(ctx, p.ID, p)
			return nil
		}})
		f.run()
		f.schedule(proposal("a", time.Hour))
		f.schedule(proposal("b", time.Hour))
		bob := sharedata.WithCaller(t.Context(), &sharedata.Caller{Subject: "bob"})
		replace := func(id string, with ...Proposal) {
			t.Helper()
			if err := f.scheduler.Replace(bob, id, with...); err != nil {
				t.Error(err)
			}
		}
		replace("a", proposal("a", time.Minute))                                                // earlier
		replace("b", proposal("b/1", 3*time.Minute), proposal("b/2", 2*time.Minute))            // others
		replace("b/1", proposal("b/1", 4*time.Minute))                                          // later
		for id, with := range map[string]Proposal{"b": proposal("b", 1), "": proposal("", 1)} { // which do not wait
			if err := f.scheduler.Replace(bob, id, with); !errors.Is(err, ErrUnknown) {
				t.Errorf("%q: %v, want ErrUnknown", id, err)
			}
		}
		for want, with := range map[error][]Proposal{
			ErrInvalid: {proposal("c", 1)},
			ErrExists:  {proposal("b/2", 1)},
			ErrFull:    {proposal("b/1", 1), proposal("b/3", 1)},
		} {
			if err := f.scheduler.Replace(bob, "b/1", with...); !errors.Is(err, want) {
				t.Errorf("got %v, want %v", err, want)
			}
		}
		f.wantWaiting("a", "b/2", "b/1")
		time.Sleep(3*time.Minute + time.Second)
		f.wantList("a", "b/2")
		time.Sleep(time.Minute)
		f.wantList("a", "b/2", "b/1")
		f.wantWaiting()
		if !errors.Is(begun, ErrBegun) {
			t.Errorf("got %v, want ErrBegun", begun)
		}
		f.wantStory("a", "schedule", "schedule by bob", "begin", "schedule: begun", "finish")
	})
}

// One that was due when it was replaced is not made before its new time.
func TestReplace_WhileDue(t *testing.T) {
	now := time.Now()
	state := map[string]record{"a": {At: now.Add(time.Minute)}}
	for at, want := range map[time.Time]string{now: codeNothing, now.Add(time.Hour): ""} {
		_, err := beginFunction.Run(t.Context(), state, beginInput{begun{"process", at}, []beginning{{ID: "a"}}})
		var got sharedata.Rejection
		if rejection, is := errors.AsType[*sharedata.Rejection](err); is {
			got = *rejection
		}
		if got.Code != want || err != nil && want == "" {
			t.Errorf("after %v: %v, want %q", at.Sub(now), err, want)
		}
	}
}

func TestOutcomes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t, nil, &Options{Authorize: func(_ context.Context, p Proposal) error {
			switch p.ID {
			case "refused":
				return errors.New("access was revoked")
			case "panics":
				panic("oh")
			}
			return nil
		}})
		f.run()
		for id, change := range map[string]func(p *Proposal){
			"accepted":  func(*Proposal) {},
			"rejected":  func(p *Proposal) { p.Data = "" },
			"gone":      func(p *Proposal) { p.ShareDataID = "gone" },
			"unknown":   func(p *Proposal) { p.FunctionID = "unknown" },
			"bad input": func(p *Proposal) { p.Data = 7 },
			"refused":   func(*Proposal) {},
			"panics":    func(*Proposal) {},
		} {
			p := proposal(id, time.Minute)
			change(&p)
			f.schedule(p)
		}
		time.Sleep(time.Hour)
		f.wantWaiting()
		f.wantList("accepted")
		for id, want := range map[string]string{
			"accepted":  `"accepted":true,"transactionId":"`,
			"rejected":  `"accepted":false,"code":"no-name","reason":"a name is needed","transactionId":"`,
			"gone":      `"error":"unknown ShareData`,
			"unknown":   `"error":"unknown function`,
			"bad input": `"error":"invalid input`,
			"refused":   `"error":"access was revoked"`,
			"panics":    `"error":"schedule: Options.Authorize panicked: oh"`,
		} {
			entries := f.transactions(f.scheduler.partID(partOf(id)))
			if last := entries[len(entries)-1]; !strings.Contains(string(last.Data), want) {
				t.Errorf("%s: the history has %s, want %s", id, last.Data, want)
			}
		}
	})
}

// Proposals that belong together are scheduled in one transaction, or not at all.
func TestScheduleAll_Together(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t, nil, nil)
		for i := range 20 {
			order, notice := proposal(fmt.Sprint(i), time.Minute), proposal(fmt.Sprintf("%d/notice", i), time.Hour)
			conflict := notice
			conflict.At = conflict.At.Add(1)
			f.schedule(notice)
			if _, err := f.scheduler.ScheduleAll(t.Context(), []Proposal{order, conflict}); !errors.Is(err, ErrExists) {
				t.Fatal(err)
			}
			if _, err := f.scheduler.Get(t.Context(), order.ID); !errors.Is(err, ErrUnknown) {
				t.Errorf("%q is scheduled without the other; %v", order.ID, err)
			}
			if _, err := f.scheduler.ScheduleAll(t.Context(), []Proposal{order, notice}); err != nil {
				t.Fatal(err)
			}
		}
		f.run()
		time.Sleep(2 * time.Hour)
		f.wantWaiting()
	})
}

// A clock that is set back makes nothing happen twice, and one that is set forward makes
// due what it has passed.
func TestClock_Jumps(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t, nil, nil)
		var offset time.Duration
		f.scheduler.now = func() time.Time { return time.Now().Add(offset) }
		f.schedule(proposal("a", time.Minute))
		f.schedule(proposal("b", time.Hour))
		f.schedule(proposal("c", 3*time.Hour))
		f.run()
		time.Sleep(2 * time.Minute)
		f.wantList("a")
		f.stop()
		offset = -time.Hour
		f.run()
		time.Sleep(30 * time.Minute)
		f.wantList("a")
		f.stop()
		offset = time.Hour
		f.run()
		synctest.Wait()
		f.wantList("a", "b")
		time.Sleep(24 * time.Hour)
		f.wantList("a", "b", "c")
	})
}

// A timer does not notice that the clock is set forward.
func TestClock_SetForward(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t, nil, nil)
		offset := make(chan time.Duration, 1)
		offset <- 0
		f.scheduler.now = func() time.Time {
			d := <-offset
			offset <- d
			return time.Now().Add(d)
		}
		f.schedule(proposal("a", 10*time.Hour))
		f.run()
		time.Sleep(time.Second)
		<-offset
		offset <- 10 * time.Hour
		time.Sleep(maxSleep)
		synctest.Wait()
		f.wantList("a")
	})
}

func TestRun_Twice(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t, nil, nil)
		f.run()
		if err := f.scheduler.Run(t.Context()); !errors.Is(err, ErrRunning) {
			t.Errorf("got %v, want ErrRunning", err)
		}
	})
}

// Whoever removes a part cancels what waits in it; what is scheduled later is made.
func TestPart_Removed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t, nil, nil)
		f.run()
		f.schedule(proposal("a", time.Minute))
		if err := f.manager.Remove(t.Context(), f.scheduler.partID(partOf("a"))); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		f.wantWaiting()
		f.schedule(proposal("a", time.Hour))
		time.Sleep(2 * time.Hour)
		f.wantList("a")
	})
}

func TestList_Selects(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t, nil, nil)
		for i, name := range []string{"c", "a", "b"} {
			f.schedule(proposal(name, time.Duration(i+1)*time.Hour))
		}
		f.wantWaiting("c", "a", "b")
		some, err := f.scheduler.List(t.Context(), func(p Proposal) bool { return p.ID != "a" })
		if names := []string{some[0].ID, some[1].ID}; err != nil || !slices.Equal(names, []string{"c", "b"}) {
			t.Errorf("%v, %v", names, err)
		}
	})
}

func TestOptions_Invalid(t *testing.T) {
	f := newFixture(t, nil, nil)
	for _, o := range []Options{{MaxPending: -2}, {TakeoverAfter: -1}} {
		if _, err := New(f.manager, &o); err == nil {
			t.Errorf("%+v is taken", o)
		}
	}
}
