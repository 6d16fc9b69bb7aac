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

// calls makes one call of each method and returns the errors by its name. The
// batches are valid if the store holds want under "id" and nothing else.
func (h *handle) calls(ctx context.Context, want *history) map[string]error {
	errs := make(map[string]error)
	for _, id := range []string{"id", "no history"} {
		_, errs["Load of "+id] = h.store.Load(ctx, id, replay.Cursor{})
		_, errs["Read of "+id] = h.store.Read(ctx, id, want.at(0), all)
		_, errs["Find in "+id] = h.store.Find(ctx, id, []string{"key", "absent"})
	}
	batches := map[string]replay.Batch{
		"Append":               withSnapshot(want.next(keyed("lost")...)),
		"Append that removes":  removing(want.next(contents("lost")...)),
		"Append that restarts": want.restart(want.head().Epoch+1, contents("lost")...),
		"Append of new keys":   newKeys(want.next(keyed("lost")...)),
		"Append of known keys": newKeys(want.next(keyed("key")...)),
	}
	for name, batch := range batches {
		errs[name] = h.store.Append(ctx, "id", batch)
	}
	errs["Append that starts"] = h.store.Append(ctx, "no history", start(firstEpoch, contents("lost")...))
	errs["IDs"] = nil
	for _, err := range h.store.IDs(ctx) {
		if errs["IDs"] != nil {
			h.Errorf("IDs goes on after the error %v", errs["IDs"])
		}
		errs["IDs"] = err
	}
	return errs
}

func respectsContexts(f *fixture) {
	h := f.open()
	want := h.started("id", keyed("key", "")...)
	cancelled, cancel := context.WithCancel(f.ctx)
	cancel()
	late, release := context.WithDeadline(f.ctx, time.Unix(0, 0))
	defer release()
	for _, ctx := range []context.Context{cancelled, late} {
		for call, err := range h.calls(ctx, want) {
			if !errors.Is(err, ctx.Err()) {
				h.Errorf("%s with an ended context: error %v; want %v", call, err, ctx.Err())
			}
		}
		h.holds("id", want)
		h.holdsNothing("no history", &history{})
		h.sameEntries("Find after an Append with an ended context", h.find("id", "key", "lost"), want.entries[:1])
	}
	h.commit("id", want, want.next(contents("after")...))
	h.holds("id", want)
	h.started("no history")
}

// staysWhole cancels contexts during an Append, which then commits the whole
// batch or nothing of it.
func staysWhole(f *fixture) {
	const rounds, length = 60, 3
	h := f.open()
	want := h.started("id", many("entry ", length)...)
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
		err := h.store.Append(ctx, "id", withSnapshot(follow(head, many(name, length)...)))
		<-done
		switch conflict, refused := errors.AsType[*replay.ConflictError](err); {
		case err == nil:
			acknowledged[name] = true
			head.Revision += length
		case refused:
			head = conflict.Head // an earlier batch took effect late
		case errors.Is(err, context.Canceled):
			loaded := h.load("id")
			if head = loaded.Cursor; loaded.SnapshotRevision != head.Revision {
				h.Errorf("the snapshot is of revision %d, but the batch that ended at %d had one", loaded.SnapshotRevision, head.Revision)
			}
		default:
			h.Fatalf("Append with a context that ends meanwhile: %v", err)
		}
	}
	for range attempts {
		err := h.store.Append(f.ctx, "id", follow(head, many("last ", length)...))
		conflict, refused := errors.AsType[*replay.ConflictError](err)
		if !refused {
			if err != nil {
				h.Fatalf("Append after contexts have ended: %v", err)
			}
			break
		}
		head = conflict.Head
	}
	entries := h.read("id", want.at(0), all)
	for i := 0; i+length <= len(entries); i += length {
		name := strings.TrimSuffix(string(entries[i].Data), "0")
		h.sameEntries("Read of one batch", entries[i:i+length], follow(want.at(uint64(i)), many(name, length)...).Entries)
		delete(acknowledged, name)
	}
	if len(entries)%length != 0 || len(acknowledged) > 0 {
		h.Errorf("%d entries of batches of %d; %d acknowledged batches are missing", len(entries), length, len(acknowledged))
	}
}

func refusesWhenClosed(f *fixture) {
	h := f.open()
	closer, ok := h.store.(io.Closer)
	if !ok {
		f.Skipf("%T has no Close", h.store)
	}
	want := h.started("id", keyed("key")...)

	// Calls during Close succeed or fail with ErrClosed.
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
			last := ended(closed)
			_, err := h.store.Read(f.ctx, "id", want.at(0), all)
			if err != nil && !errors.Is(err, replay.ErrClosed) {
				return fmt.Errorf("read while the store is closed: %w", err)
			}
			if last || err != nil {
				return nil
			}
		}
	})
	for call, err := range h.calls(f.ctx, want) {
		if !errors.Is(err, replay.ErrClosed) {
			h.Errorf("%s of a closed store: error %v; want ErrClosed", call, err)
		}
	}
	if err := closer.Close(); err != nil {
		h.Errorf("Close for the second time: %v", err)
	}
}

// handlesAgree checks that each of two handles sees every step of the other. The
// random tests use both handles for every kind of operation.
func handlesAgree(f *fixture) {
	if f.harness.Second == nil {
		f.Skipf("the harness has no Second")
	}
	h, other := f.openTwo()
	want := &history{}
	for i, batch := range []func() replay.Batch{
		func() replay.Batch { return start(firstEpoch, keyed("key 0")...) },
		func() replay.Batch { return withSnapshot(want.next(keyed("key 1")...)) },
		func() replay.Batch { return want.next(contents("")...) },
		func() replay.Batch { return want.restart(firstEpoch+1, keyed("key 2", "")...) },
		func() replay.Batch { return want.end() },
		func() replay.Batch { return start(firstEpoch+2, contents("again")...) },
	} {
		next := expecting(want.meta, newKeys(batch()))
		next.Meta = fmt.Append(nil, "meta ", i)
		[]*handle{other, h}[i%2].commit("id", want, next)
		for _, each := range []*handle{h, other} {
			if !want.exists() {
				each.holdsNothing("id", want)
				continue
			}
			each.holds("id", want)
			each.sameIDs("id")
			each.finds("id", want, 1, "key 0", "key 1", "key 2")
			each.moved("id", want, start(want.head().Epoch+1, contents("lost")...))
			each.refused(replay.ConflictReplaced, "id", want, expecting([]byte("other meta"), want.next(contents("lost")...)))
		}
	}

	// A handle that closes does not affect the other.
	if closer, ok := other.store.(io.Closer); ok {
		if err := closer.Close(); err != nil {
			h.Fatalf("Close of the second handle: %v", err)
		}
	}
	h.commit("id", want, want.next(contents("alone")...))
	h.holds("id", want)
}
