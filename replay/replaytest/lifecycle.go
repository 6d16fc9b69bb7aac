package replaytest

import (
	"context"
	"errors"
	"fmt"
	"io"
	"runtime"
	"strings"
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
		"Append":                  want.next(replay.Entry{Data: []byte("lost"), State: []byte("lost"), Key: "lost"}),
		"Append that removes":     removing(want.next(contents("lost")...)),
		"Append that starts over": want.over(want.head().Epoch+1, contents("lost")...),
		"Append of new keys":      newKeys(want.next(keyed("lost")...)),
		"Append of known keys":    newKeys(want.next(keyed("key")...)),
	}
	for name, batch := range batches {
		errs[name] = s.store.Append(ctx, "id", batch)
	}
	errs["Append that starts"] = s.store.Append(ctx, "no history", start(firstEpoch, contents("lost")...))
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

// endsContextsMeanwhile cancels contexts at any moment of an Append. What that
// leaves behind is a whole batch or nothing of it.
func endsContextsMeanwhile(f *fixture) {
	const rounds, length = 60, 3
	s := f.open()
	want := s.started("id", many("entry ", length)...)
	head := want.head()
	acknowledged := make(map[string]bool)
	for round := range rounds {
		name := fmt.Sprint("round ", round, " entry ")
		ctx, cancel := context.WithCancel(f.ctx)
		done := make(chan struct{})
		go func() {
			defer close(done)
			for range round * 10 {
				runtime.Gosched()
			}
			cancel()
		}()
		err := s.store.Append(ctx, "id", follow(head, many(name, length)...))
		<-done
		switch conflict, refused := errors.AsType[*replay.ConflictError](err); {
		case err == nil:
			acknowledged[name] = true
			head.Revision += length
		case refused:
			head = conflict.Head // an earlier one took effect late
		case errors.Is(err, context.Canceled):
			head = s.load("id").Cursor
		default:
			s.Fatalf("Append with a context that ends meanwhile: %v", err)
		}
	}
	for range attempts {
		err := s.store.Append(f.ctx, "id", follow(head, many("last ", length)...))
		conflict, refused := errors.AsType[*replay.ConflictError](err)
		if !refused {
			if err != nil {
				s.Fatalf("Append after contexts have ended: %v", err)
			}
			break
		}
		head = conflict.Head
	}
	entries := s.read("id", want.zero(), all)
	for i := 0; i+length <= len(entries); i += length {
		name := strings.TrimSuffix(string(entries[i].Data), "0")
		s.sameEntries("Read of one batch", entries[i:i+length], follow(want.at(uint64(i)), many(name, length)...).Entries)
		delete(acknowledged, name)
	}
	if len(entries)%length != 0 || len(acknowledged) > 0 {
		s.Errorf("%d entries of batches of %d; %d acknowledged batches are missing", len(entries), length, len(acknowledged))
	}
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
	for i, handle := range []*subject{other, s} {
		over := want.over(firstEpoch+1+uint64(i), keyed(fmt.Sprint("over ", i), "")...)
		over.ExpectMeta, over.Meta, over.NewKeys = want.meta, fmt.Append(nil, "over ", i), true
		handle.commit("id", want, over)
		for _, each := range []*subject{s, other} {
			each.holds("id", want)
			each.finds("id", want, 1, "key 0", "over 0", "over 1")
			each.readRefused("id", replay.Cursor{Epoch: firstEpoch + uint64(i), Revision: 1}, replay.ErrUnknownEpoch, want.head(), 1)
			each.conflictKnown("id", want, newKeys(want.next(keyed(fmt.Sprint("over ", i))...)), want.entries[:1])
			over.ExpectMeta = []byte("other meta")
			over.Expect, over.Entries = want.head(), want.over(firstEpoch+9, contents("lost")...).Entries
			each.conflictReplaced("id", want, over)
		}
	}
	batch = removing(want.next(contents("the end")...))
	other.append("id", batch)
	want.add(batch)
	for _, each := range []*subject{s, other} {
		each.removed("id", want)
		each.conflictRemoved("id", want.head(), start(firstEpoch, contents("lost")...))
		each.conflictRemoved("id", want.head(), start(firstEpoch+2, contents("lost")...))
	}
	again := &history{}
	s.commit("id", again, start(firstEpoch+3, contents("again")...))
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
