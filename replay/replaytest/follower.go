package replaytest

import (
	"fmt"
	"io"
	"runtime"
	"sync"
	"time"

	"github.com/safe-go/safe/replay"
)

// These are the checks of stores that are a replay.Follower.

func tellsThatItTells(f *fixture) {
	s := f.open()
	s.started("id")
	for _, id := range []string{"id", "id", "no history", "{*}\x00%s\n"} {
		s.keeps(id, nil).untilBegun()
	}
}

func tellsWhatIsAppended(f *fixture) {
	s := f.open()
	handles := []*subject{s, f.second(s)}
	want, sent := &history{}, ledger{}
	s.send("id", want, sent, start(firstEpoch, many("first ", 3)...))
	keepers := []*keeper{s.keeps("id", sent), s.keeps("id", sent), handles[1].keeps("id", sent)}
	for _, k := range keepers {
		k.untilAt(want)
		k.untilBegun()
	}
	for i := range 60 {
		entries := many(fmt.Sprint("batch ", i, " entry "), 1+i%5)
		entries[i%len(entries)].Key = fmt.Sprint("key ", i)
		entries[i/2%len(entries)].State = fmt.Append(nil, "state ", i, "\x00\xff")
		batch := want.next(entries...)
		batch.Meta = []byte("meta")
		handles[i%2].send("id", want, sent, batch)
		// Now one at a time, now several before anybody looks.
		if i%4 != 3 && i > 20 {
			continue
		}
		for _, k := range keepers {
			k.untilAt(want)
		}
	}
}

func tellsOfAnyContents(f *fixture) {
	s := f.open()
	other := f.second(s)
	want, sent := &history{}, ledger{}
	k := s.keeps("id", sent)
	k.untilBegun()
	batch := start(firstEpoch, contents("first")...)
	for _, blob := range blobs() {
		other.send("id", want, sent, batch)
		k.untilAt(want)
		batch = want.next(replay.Entry{Data: blob, Key: "key"}, replay.Entry{State: blob}, replay.Entry{Data: []byte("data")})
		batch.Meta = blob
	}
	other.send("id", want, sent, batch)
	k.untilAt(want)
	long := many("long ", 512)
	for i := range long {
		long[i].Data = append(long[i].Data, make([]byte, 1000)...)
	}
	other.send("id", want, sent, want.next(long...))
	k.untilAt(want)
	other.send("id", want, sent, want.next(contents("after it")...))
	k.untilAt(want)
}

func tellsOfStartsAndEnds(f *fixture) {
	s := f.open()
	other := f.second(s)
	sent := ledger{}
	keepers := []*keeper{s.keeps("id", sent), other.keeps("id", sent)}
	for _, k := range keepers {
		k.untilBegun()
	}
	each := func(until func(k *keeper)) {
		for _, k := range keepers {
			until(k)
		}
	}
	for round := range uint64(6) {
		want, epoch := &history{}, firstEpoch+10*round
		other.send("id", want, sent, start(epoch, contents("first", "second")...))
		each(func(k *keeper) { k.untilAt(want) })
		other.send("id", want, sent, want.over(epoch+1, contents("over")...))
		each(func(k *keeper) { k.untilAt(want) })
		s.send("id", want, sent, want.next(contents("next")...))
		other.send("id", want, sent, want.over(epoch+2, many("over ", 3)...))
		other.send("id", want, sent, want.next(many("next ", 2)...))
		if round%2 == 0 {
			each(func(k *keeper) { k.untilAt(want) })
		}
		end := want.next(theEnd()...)
		if round%3 == 1 {
			end = want.over(epoch+3, append(contents("over"), theEnd()...)...)
		}
		other.send("id", want, sent, removing(end))
		if round != 3 {
			each((*keeper).untilGone)
		}
		// And once it ends as soon as it has begun, whoever saw that.
		if round == 4 {
			other.send("id", &history{}, sent, removing(start(epoch+4, theEnd()...)))
		}
	}
}

func tellsOfOneHistory(f *fixture) {
	s := f.open()
	other := f.second(s)
	names := texts()
	wants, sents := make([]*history, len(names)), make([]ledger, len(names))
	keepers := make([]*keeper, len(names))
	for i, id := range names {
		wants[i], sents[i] = &history{}, ledger{}
		keepers[i] = s.keeps(id, sents[i])
	}
	for _, k := range keepers {
		k.untilBegun()
	}
	for round := range 3 {
		for i, id := range names {
			data := contents(fmt.Sprint("round ", round, " of ", id))
			batch := start(firstEpoch, data...)
			if round > 0 {
				batch = wants[i].next(data...)
			}
			other.send(id, wants[i], sents[i], batch)
		}
		// apply notices entries of another history: their data name it.
		for i, k := range keepers {
			if round < 2 || i%2 == 0 {
				k.untilAt(wants[i])
			}
		}
		if round == 1 {
			for i := 1; i < len(keepers); i += 2 {
				keepers[i].stop()
			}
		}
	}
}

func stopEndsTheTelling(f *fixture) {
	s := f.open()
	other := f.second(s)
	want, sent := &history{}, ledger{}
	other.send("id", want, sent, start(firstEpoch, contents("first")...))
	goes, stays := s.keeps("id", sent), s.keeps("id", sent)
	for _, k := range []*keeper{goes, stays} {
		k.untilBegun()
		k.untilAt(want)
	}
	goes.stop()
	goes.stop()
	before, _ := goes.told()
	for i := range 25 {
		other.send("id", want, sent, want.next(contents(fmt.Sprint("entry ", i))...))
		stays.untilAt(want)
	}
	again := s.keeps("id", sent)
	again.untilBegun()
	other.send("id", want, sent, want.next(contents("at last")...))
	again.untilAt(want)
	stays.untilAt(want)
	// One call may have been under way.
	if after, _ := goes.told(); after > before+1 {
		s.Errorf("a follower was told %d times more after stop", after-before)
	}
}

// tellIsFree checks that tell may call back, and that nobody who calls the store
// waits for it.
func tellIsFree(f *fixture) {
	s := f.open()
	other := f.second(s)
	follower := s.follower()
	want, sent := &history{}, ledger{}
	s.send("id", want, sent, start(firstEpoch, contents("first")...))

	// Whoever calls the store holds what tell needs.
	s.inTime("Follow, Append and stop while tell waits for their caller", func() error {
		var mu sync.Mutex
		mu.Lock()
		defer mu.Unlock()
		stop := follower.Follow("id", func([]replay.Entry) {
			mu.Lock()
			defer mu.Unlock()
		})
		defer stop()
		for range 3 {
			batch := want.next(contents("next")...)
			sent[firstOf(batch)] = batch
			if err := s.store.Append(f.ctx, "id", batch); err != nil {
				return fmt.Errorf("append: %w", err)
			}
			want.add(batch)
		}
		return nil
	})

	// And tell calls stop, which is its own, and Follow.
	s.inTime("stop and Follow called by tell", func() error {
		ready, told := make(chan struct{}), make(chan func(), 100)
		var stop func()
		stop = follower.Follow("id", func([]replay.Entry) {
			<-ready
			stop()
			told <- follower.Follow("other", func([]replay.Entry) {})
		})
		close(ready)
		(<-told)()
		return nil
	})
	k := s.keeps("id", sent)
	k.untilBegun()
	other.send("id", want, sent, want.next(contents("after all")...))
	k.untilAt(want)
}

// inTime ends the test when do takes too long, or fails.
func (s *subject) inTime(what string, do func() error) {
	s.Helper()
	done := make(chan error, 1)
	go func() { done <- do() }()
	late := time.NewTimer(s.patience())
	defer late.Stop()
	select {
	case err := <-done:
		if err != nil {
			s.Fatalf("%s: %v", what, err)
		}
	case <-late.C:
		s.Fatalf("%s: not done within %v", what, s.patience())
	}
}

func manyFollow(f *fixture) {
	const workers = 6
	s := f.open()
	other := f.second(s)
	follower := s.follower()
	want, sent := &history{}, ledger{}
	s.send("id", want, sent, start(firstEpoch, contents("first")...))
	k := s.keeps("id", sent)
	var wait sync.WaitGroup
	turns := make(chan string)
	for range workers {
		wait.Go(func() {
			for id := range turns {
				stop := follower.Follow(id, func([]replay.Entry) {})
				runtime.Gosched()
				stop()
			}
		})
	}
	defer wait.Wait()
	defer close(turns)
	for i := range 50 {
		for range workers {
			turns <- "id"
			turns <- "other"
		}
		other.send("id", want, sent, want.next(many(fmt.Sprint("batch ", i, " entry "), 1+i%3)...))
		if i%10 == 0 {
			k.untilAt(want)
		}
	}
	k.untilAt(want)
}

func closeEndsTheTelling(f *fixture) {
	const n = 10
	s := f.open()
	closer, ok := s.store.(io.Closer)
	if s.follower(); !ok {
		f.Skipf("%T has no Close", s.store)
	}
	other := f.second(s)
	sent := ledger{}
	wants := make([]*history, n)
	for i := range wants {
		wants[i] = &history{}
		other.send(fmt.Sprint("id ", i), wants[i], sent, start(firstEpoch, contents("first")...))
		s.load(fmt.Sprint("id ", i))
	}
	before := runtime.NumGoroutine()
	keepers := make([]*keeper, n)
	for i := range keepers {
		keepers[i] = s.keeps(fmt.Sprint("id ", i), sent)
		keepers[i].untilBegun()
	}
	if err := closer.Close(); err != nil {
		s.Fatalf("Close: %v", err)
	}
	calls := make([]int, n)
	for i, k := range keepers {
		calls[i], _ = k.told()
	}
	s.eventually(fmt.Sprintf("the goroutines of %d followers to end: %d were there before", n, before), func() bool {
		return runtime.NumGoroutine() <= before
	})
	late := s.keeps("id 0", sent)
	late.stop()
	late.stop()
	if f.harness.Second != nil {
		for i := range wants {
			id := fmt.Sprint("id ", i)
			k := other.keeps(id, sent)
			k.untilBegun()
			other.send(id, wants[i], sent, wants[i].next(contents("next")...))
			k.untilAt(wants[i])
		}
	}
	for i, k := range append(keepers, late) {
		if now, _ := k.told(); i < n && now != calls[i] || i == n && now != 0 {
			s.Errorf("follower %d of a closed store was told %d times", i, now)
		}
	}
}

// eventually ends the test when a condition does not come true.
func (f *fixture) eventually(what string, done func() bool) {
	f.Helper()
	late := time.NewTimer(f.patience())
	defer late.Stop()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for !done() {
		select {
		case <-tick.C:
		case <-late.C:
			f.Fatalf("waited %v for %s", f.patience(), what)
		}
	}
}
