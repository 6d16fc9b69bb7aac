package replaytest

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/safe-go/safe/replay"
)

// calls returns one call of each method and what it returned, by name. The
// batches are valid where the store holds want under "id" and nothing else.
func (s *subject) calls(ctx context.Context, want *history) map[string]error {
	errs := make(map[string]error)
	for _, id := range []string{"id", "no history"} {
		_, errs["Load of "+id] = s.store.Load(ctx, id)
		_, errs["Read of "+id] = s.store.Read(ctx, id, want.zero(), all)
		_, errs["Find in "+id] = s.store.Find(ctx, id, []string{"key", "absent"})
	}
	batches := map[string]replay.Batch{
		"Append":              want.next(replay.Entry{Data: []byte("lost"), State: []byte("lost"), Key: "lost"}),
		"Append that removes": removing(want.next(contents("lost")...)),
	}
	for name, batch := range batches {
		_, errs[name] = s.store.Append(ctx, "id", batch)
	}
	_, errs["Append that starts"] = s.store.Append(ctx, "no history", start(firstEpoch, contents("lost")...))
	errs["IDs"] = nil
	for _, err := range s.store.IDs(ctx) {
		if errs["IDs"] != nil {
			s.Errorf("IDs goes on after the error %v", errs["IDs"])
		}
		errs["IDs"] = err
	}
	return errs
}

func honoursContexts(f *fixture) {
	s := f.open()
	want := s.started("id", keyed("key", "")...)
	late, release := context.WithDeadline(f.ctx, time.Unix(0, 0))
	defer release()
	for _, ctx := range []context.Context{f.cancelled(), late} {
		for call, err := range s.calls(ctx, want) {
			if !errors.Is(err, ctx.Err()) {
				s.Errorf("%s with an ended context: error %v; want %v", call, err, ctx.Err())
			}
		}
		s.holds("id", want)
		s.holdsNothing("no history")
		s.sameEntries("Find after an Append with an ended context", s.find("id", "key", "lost"), want.entries[:1])
	}
	s.commit("id", want, want.next(contents("after")...))
	s.holds("id", want)
	s.started("no history")
}

func refusesWhenClosed(f *fixture) {
	s := f.open()
	closer, ok := s.store.(io.Closer)
	if !ok {
		f.Skipf("%T has no Close", s.store)
	}
	want := s.started("id", keyed("key")...)

	// Whoever uses the store while it is closed gets answers or ErrClosed.
	closed := make(chan struct{})
	f.together(4, func(i int) error {
		if i == 0 {
			defer close(closed)
			if err := closer.Close(); err != nil {
				return fmt.Errorf("close: %w", err)
			}
			return nil
		}
		for {
			over := ended(closed)
			_, err := s.store.Read(f.ctx, "id", want.zero(), all)
			if err != nil && !errors.Is(err, replay.ErrClosed) {
				return fmt.Errorf("read while the store is closed: %w", err)
			}
			if over || err != nil {
				return nil
			}
		}
	})
	for call, err := range s.calls(f.ctx, want) {
		if !errors.Is(err, replay.ErrClosed) {
			s.Errorf("%s of a closed store: error %v; want ErrClosed", call, err)
		}
	}
	if err := closer.Close(); err != nil {
		s.Errorf("Close for the second time: %v", err)
	}
}

func reopens(f *fixture) {
	s := f.open()
	wants := map[string]*history{
		"id":    s.grown("id", 5),
		"other": s.started("other", keyed("key")...),
		"🙂 {}":  s.started("🙂 {}"),
	}
	batch := wants["other"].next(replay.Entry{Data: []byte{0, 0xff}, State: []byte("state")}, replay.Entry{})
	batch.Meta = []byte("meta")
	s.commit("other", wants["other"], batch)
	for range 3 {
		s = f.reopen(s)
		s.sameIDs([]string{"id", "other", "🙂 {}"})
		for id, want := range wants {
			s.holds(id, want)
			s.conflictAt(id, want, start(firstEpoch+1, contents("lost")...))
			s.conflictAt(id, want, follow(want.head().Next(), contents("lost")...))
			s.readRefused(id, want.head().Next(), replay.ErrFutureCursor, want.head(), 1)
			s.commit(id, want, want.next(contents("after reopening")...))
		}
		s.sameEntries("Find after reopening", s.find("other", "key"), wants["other"].entries[:1])
	}
}

func reopensWithEpochs(f *fixture) {
	s := f.open()
	want := s.started("id")
	s.append("id", removing(want.next(contents("the end")...)))
	s = f.reopen(s)
	want.add(want.next(contents("the end")...))
	s.removed("id", want)
	for _, epoch := range []uint64{1, firstEpoch - 1, firstEpoch} {
		s.conflictRemoved("id", want.head(), start(epoch, contents("lost")...))
	}
	again := &history{}
	s.commit("id", again, start(firstEpoch+1, contents("again")...))
	s = f.reopen(s)
	s.holds("id", again)
	s.readRefused("id", want.zero(), replay.ErrUnknownEpoch, again.head(), 1)
}

func handlesAgree(f *fixture) {
	s := f.open()
	if f.harness.Second == nil {
		f.Skipf("the harness has no Second")
	}
	other := f.second(s)
	want := &history{}
	batch := start(firstEpoch, keyed("key 0")...)
	for i, handle := range []*subject{s, other, other, s, other} {
		batch.Meta = fmt.Append(nil, "meta ", i)
		handle.commit("id", want, batch)
		for _, each := range []*subject{s, other} {
			each.holds("id", want)
			each.sameIDs([]string{"id"})
			each.sameEntries("Find", each.find("id", "key 0"), want.entries[:1])
			each.conflictAt("id", want, start(firstEpoch+1, contents("lost")...))
		}
		batch = want.next(replay.Entry{Data: []byte("data"), State: fmt.Append(nil, "state ", i)})
	}
	other.append("id", removing(batch))
	want.add(batch)
	for _, each := range []*subject{s, other} {
		each.removed("id", want)
		each.conflictRemoved("id", want.head(), start(firstEpoch, contents("lost")...))
	}
	again := &history{}
	s.commit("id", again, start(firstEpoch+1, contents("again")...))
	other.readRefused("id", want.head(), replay.ErrUnknownEpoch, again.head(), 1)

	// A handle that closes takes nothing away from the other.
	if closer, ok := other.store.(io.Closer); ok {
		if err := closer.Close(); err != nil {
			s.Fatalf("Close of the second handle: %v", err)
		}
	}
	s.holds("id", again)
	s.commit("id", again, again.next(contents("alone")...))
	s.holds("id", again)
}
