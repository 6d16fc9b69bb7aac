package replaytest

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"runtime"
	"sync"

	"github.com/safe-go/safe/replay"
)

// These checks are of stores that are a replay.Follower.

func notifiesOfAppends(f *fixture) {
	h, other := f.openTwo()
	handles := []*handle{h, other}
	want := h.started("id", many("first ", 3)...)
	replicas := []*replica{h.follow("id", want), h.follow("id", want), other.follow("id", want)}
	for _, r := range replicas {
		r.untilCurrent()
		r.untilNil(1)
	}
	for i := range 60 {
		entries := many(fmt.Sprint("batch ", i, " entry "), 1+i%5)
		entries[i%len(entries)].Key = fmt.Sprint("key ", i)
		batch := want.next(entries...)
		if i%7 == 0 {
			batch = withSnapshot(batch)
		}
		batch.Meta = []byte("meta")
		handles[i%2].commit("id", want, batch)
		// At first each batch is awaited, then several at once.
		if i%4 != 3 && i > 20 {
			continue
		}
		for _, r := range replicas {
			r.untilCurrent()
		}
	}
}

func notifiesOfContents(f *fixture) {
	h, other := f.openTwo()
	want := h.started("id")
	r := h.follow("id", want)
	r.untilNil(1)
	commit := func(batch replay.Batch) {
		other.commit("id", want, batch)
		r.untilCurrent()
	}
	for _, blob := range blobs() {
		batch := want.next(replay.Entry{Data: blob, Key: "key"}, replay.Entry{Data: []byte("data")})
		batch.Meta, batch.Snapshot = blob, blob
		commit(batch)
	}
	long := many("long ", 512)
	for i := range long {
		long[i].Data = append(long[i].Data, make([]byte, 1000)...)
	}
	commit(want.next(long...))
	commit(want.next(contents("after it")...))
}

func notifiesOfLargeStates(f *fixture) {
	h, other := f.openTwo()
	want := h.started("id")
	r := h.follow("id", want)
	r.untilNil(1)
	whole := false
	for range 3 {
		batch := want.next(contents("small")...)
		other.commit("id", want, batch)
		r.untilCurrent()
		whole = whole || r.notified[firstOf(batch)]
	}
	if !whole {
		return // a store may notify with nil only
	}
	for i := range 3 {
		batch := want.next(contents("small")...)
		batch.Snapshot = bytes.Repeat([]byte{byte(i)}, 1<<20)
		other.commit("id", want, batch)
		r.until("the entry of a batch with a large snapshot", func() bool { return r.notified[firstOf(batch)] })
	}
}

func notifiesOfEpochs(f *fixture) {
	h, other := f.openTwo()
	want := &history{}
	replicas := []*replica{h.follow("id", want), other.follow("id", want)}
	for _, r := range replicas {
		r.untilNil(1)
	}
	current := func() {
		for _, r := range replicas {
			r.untilCurrent()
		}
	}
	for round := range uint64(6) {
		epoch := firstEpoch + 10*round
		other.commit("id", want, start(epoch, contents("first", "second")...))
		current()
		other.commit("id", want, want.restart(epoch+1, contents("over")...))
		current()
		h.commit("id", want, want.next(contents("next")...))
		other.commit("id", want, want.restart(epoch+2, many("over ", 3)...))
		other.commit("id", want, want.next(many("next ", 2)...))
		if round%2 == 0 {
			current()
		}
		end := want.end()
		if round%3 == 1 {
			end = removing(want.restart(epoch+3, append(contents("over"), theEnd()...)...))
		}
		other.commit("id", want, end)
		if round != 3 {
			current()
		}
		if round == 4 { // a start that is a removal too
			other.commit("id", want, removing(start(epoch+4, theEnd()...)))
		}
	}
}

func notifiesOfOneHistory(f *fixture) {
	h, other := f.openTwo()
	names := texts()
	wants := make([]*history, len(names))
	replicas := make([]*replica, len(names))
	for i, id := range names {
		wants[i] = &history{}
		replicas[i] = h.follow(id, wants[i])
	}
	for _, r := range replicas {
		r.untilNil(1)
	}
	for round := range 3 {
		for i, id := range names {
			data := contents(fmt.Sprint("round ", round, " of ", id))
			batch := start(firstEpoch, data...)
			if round > 0 {
				batch = wants[i].next(data...)
			}
			other.commit(id, wants[i], batch)
		}
		// apply detects entries of another history by their data.
		for i, r := range replicas {
			if round < 2 || i%2 == 0 {
				r.untilCurrent()
			}
		}
		if round == 1 {
			for i := 1; i < len(replicas); i += 2 {
				replicas[i].stop()
			}
		}
	}
}

func stopEndsNotifications(f *fixture) {
	h, other := f.openTwo()
	want := other.started("id")
	stopped, stays := h.follow("id", want), h.follow("id", want)
	for _, r := range []*replica{stopped, stays} {
		r.untilNil(1)
		r.untilCurrent()
	}
	stopped.stop()
	stopped.stop()
	before, _ := stopped.counts()
	for i := range 25 {
		other.commit("id", want, want.next(contents(fmt.Sprint("entry ", i))...))
		stays.untilCurrent()
	}
	again := h.follow("id", want)
	again.untilNil(1)
	other.commit("id", want, want.next(contents("at last")...))
	again.untilCurrent()
	stays.untilCurrent()
	// One call may have been under way.
	if after, _ := stopped.counts(); after > before+1 {
		h.Errorf("a follower was notified %d times after stop", after-before)
	}
}

// notifyBlocksNothing checks that notify may call the store, and that no call to
// the store waits for notify.
func notifyBlocksNothing(f *fixture) {
	h, other := f.openTwo()
	follower := h.follower()
	want := h.started("id")

	// The caller of the store holds the lock that notify takes.
	h.inTime("Follow, Append and stop to return while notify waits for their caller", func() error {
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
			if err := h.store.Append(f.ctx, "id", batch); err != nil {
				return fmt.Errorf("append: %w", err)
			}
			want.add(batch)
		}
		return nil
	})

	// notify calls its own stop, and Follow.
	h.inTime("stop and Follow to return to notify", func() error {
		ready, notified := make(chan struct{}), make(chan func(), 100)
		var stop func()
		stop = follower.Follow("id", func([]replay.Entry) {
			<-ready
			stop()
			notified <- follower.Follow("other", func([]replay.Entry) {})
		})
		close(ready)
		(<-notified)()
		return nil
	})
	r := h.follow("id", want)
	r.untilNil(1)
	other.commit("id", want, want.next(contents("after all")...))
	r.untilCurrent()
}

// inTime ends the test if do takes too long or fails.
func (h *handle) inTime(what string, do func() error) {
	h.Helper()
	done := make(chan struct{})
	var err error
	go func() {
		defer close(done)
		err = do()
	}()
	h.eventually(what, func() bool { return ended(done) })
	if err != nil {
		h.Fatalf("%s: %v", what, err)
	}
}

func manyFollow(f *fixture) {
	const workers = 6
	h, other := f.openTwo()
	follower := h.follower()
	want := h.started("id")
	r := h.follow("id", want)
	var wait sync.WaitGroup
	ids := make(chan string)
	for range workers {
		wait.Go(func() {
			for id := range ids {
				stop := follower.Follow(id, func([]replay.Entry) {})
				runtime.Gosched()
				stop()
			}
		})
	}
	defer wait.Wait()
	defer close(ids)
	for i := range 50 {
		for range workers {
			ids <- "id"
			ids <- "other"
		}
		other.commit("id", want, want.next(many(fmt.Sprint("batch ", i, " entry "), 1+i%3)...))
		if i%10 == 0 {
			r.untilCurrent()
		}
	}
	r.untilCurrent()
}

func closeEndsNotifications(f *fixture) {
	const n = 10
	h := f.open()
	closer, ok := h.store.(io.Closer)
	if h.follower(); !ok {
		f.Skipf("%T has no Close", h.store)
	}
	other := f.second(h)
	wants := make([]*history, n)
	for i := range wants {
		wants[i] = other.started(fmt.Sprint("id ", i))
		h.load(fmt.Sprint("id ", i)) // starts what the store starts with its first call
	}
	before := runtime.NumGoroutine()
	replicas := make([]*replica, n)
	for i, want := range wants {
		replicas[i] = h.follow(fmt.Sprint("id ", i), want)
		replicas[i].untilNil(1)
	}
	if err := closer.Close(); err != nil {
		h.Fatalf("Close: %v", err)
	}
	calls := make([]int, n+1)
	for i, r := range replicas {
		calls[i], _ = r.counts()
	}
	h.eventually(fmt.Sprintf("the goroutines of %d followers to end: %d were there before", n, before), func() bool {
		return runtime.NumGoroutine() <= before
	})
	late := h.follow("id 0", wants[0])
	late.stop()
	late.stop()
	if f.harness.Second != nil {
		for i, want := range wants {
			id := fmt.Sprint("id ", i)
			r := other.follow(id, want)
			r.untilNil(1)
			other.commit(id, want, want.next(contents("next")...))
			r.untilCurrent()
		}
	}
	for i, r := range append(replicas, late) {
		if now, _ := r.counts(); now != calls[i] {
			h.Errorf("follower %d of a closed store was notified %d times", i, now-calls[i])
		}
	}
}

func removedWhileFollowed(f *fixture) {
	h, other := f.openFollowers()
	want := other.started("id")
	r := h.follow("id", want)
	r.untilNil(1)
	h.commit("id", want, want.end())
	other.holdsNothing("id", want)
	r.untilCurrent()
	h.holdsNothing("id", want)
}

func lostWhileFollowed(f *fixture) {
	if f.harness.Lose == nil {
		f.Skipf("the harness has no Lose")
	}
	h, other := f.openFollowers()
	want := other.started("id", many("entry ", 3)...)
	r := h.follow("id", want)
	r.untilNil(1)
	r.untilCurrent()
	f.harness.Lose(f.TB, h.store, "id")
	_, before := r.counts()
	for range 2 {
		if head, err := other.store.Load(f.ctx, "id", replay.Cursor{}); !errors.Is(err, replay.ErrUnavailable) {
			f.Fatalf("Load of a lost history that another process follows: head %s, error %v; want ErrUnavailable", head.Cursor, err)
		}
		r.untilNil(before + 1)
	}
	// The follower itself finds nothing, so that it restarts the history.
	r.until("the loss", func() bool { return r.removed })
	if head, err := h.store.Load(f.ctx, "id", replay.Cursor{}); !errors.Is(err, replay.ErrNotFound) {
		f.Fatalf("Load of a lost history by its follower: head %s, error %v; want ErrNotFound", head.Cursor, err)
	}
	h.commit("id", want, start(firstEpoch+1, contents("restarted")...))
	other.holds("id", want)
	r.untilCurrent()

	r.stop()
	f.harness.Lose(f.TB, h.store, "id")
	f.eventually("a lost history that nobody follows to be not found", func() bool {
		_, err := other.store.Load(f.ctx, "id", replay.Cursor{})
		return errors.Is(err, replay.ErrNotFound)
	})
}
