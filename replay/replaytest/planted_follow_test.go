package replaytest

import (
	"bytes"
	"context"
	"path"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/safe-go/safe/replay"
)

func followFaults() []fault {
	return []fault{
		{name: "takes no notice of claims", following: func(l *tattler) {
			l.onAppend = func(ctx context.Context, id string, batch replay.Batch) error {
				batch.Reserve = 0
				return l.Process.Append(ctx, id, batch)
			}
		}, caught: []string{"a claim keeps others out"}},
		{name: "claims what nobody wants", following: func(l *tattler) {
			l.onAppend = func(ctx context.Context, id string, batch replay.Batch) error {
				batch.Reserve = time.Second
				return l.Process.Append(ctx, id, batch)
			}
		}, caught: []string{"a claim ends with the next append"}},
		{name: "prolongs claims", following: func(l *tattler) {
			var claimed atomic.Pointer[replay.ConflictError]
			l.onAppend = func(ctx context.Context, id string, batch replay.Batch) error {
				if refused := claimed.Load(); refused != nil && refused.Expected == batch.Expect {
					return refused
				}
				err := l.Process.Append(ctx, id, batch)
				if conflict := conflictOf(err); conflict != nil && conflict.Reason == replay.ConflictReserved {
					claimed.Store(conflict)
				}
				return err
			}
		}, caught: []string{"a claim ends by itself"}},
		{name: "does not say when the telling has begun", following: func(l *tattler) {
			l.tells(func(_ string, entries []replay.Entry, tell func([]replay.Entry)) {
				if entries != nil {
					tell(entries)
				}
			})
		}, caught: []string{"a follower is told when the telling has begun"}},
		{name: "tells of no entries instead of nil", following: func(l *tattler) {
			l.tells(func(_ string, entries []replay.Entry, tell func([]replay.Entry)) {
				tell(append([]replay.Entry{}, entries...))
			})
		}, caught: []string{"a follower is told when the telling has begun"}},
		{name: "tells of its own batches only", following: func(l *tattler) {
			var own sync.Map
			l.onAppend = func(ctx context.Context, id string, batch replay.Batch) error {
				own.Store(firstOf(batch), true)
				return l.Process.Append(ctx, id, batch)
			}
			l.tells(func(_ string, entries []replay.Entry, tell func([]replay.Entry)) {
				if _, found := own.Load(firstOf(replay.Batch{Entries: entries})); found || entries == nil {
					tell(entries)
				}
			})
		}, caught: []string{
			"a follower is told what any handle appends",
			"a follower is told of contents of any kind and size",
			"a follower is told of starts, starts over and ends",
			"a follower is told of its own history",
			"nobody waits for tell, and tell may follow and stop",
			"any number may follow at once",
		}},
		{name: "loses every third announcement", following: func(l *tattler) {
			var n atomic.Int64
			l.tells(func(_ string, entries []replay.Entry, tell func([]replay.Entry)) {
				if entries == nil || n.Add(1)%3 != 0 {
					tell(entries)
				}
			})
		}, caught: []string{"a follower is told what any handle appends", "a follower is told of its own history"}},
		{name: "tells of the first entry of each batch", following: func(l *tattler) {
			l.tells(func(_ string, entries []replay.Entry, tell func([]replay.Entry)) {
				tell(entries[:min(1, len(entries)):min(1, len(entries))])
			})
		}, caught: []string{"a follower is told what any handle appends", "any number may follow at once"}},
		{name: "tells of entries without their keys", following: func(l *tattler) {
			l.tells(func(_ string, entries []replay.Entry, tell func([]replay.Entry)) {
				entries = slices.Clone(entries)
				for i := range entries {
					entries[i].Key = ""
				}
				tell(entries)
			})
		}, caught: []string{"a follower is told what any handle appends"}},
		{name: "tells of valid UTF-8 only", following: func(l *tattler) {
			l.tells(func(_ string, entries []replay.Entry, tell func([]replay.Entry)) {
				entries = slices.Clone(entries)
				for i := range entries {
					entries[i].Data = bytes.ToValidUTF8(entries[i].Data, nil)
				}
				tell(entries)
			})
		}, caught: []string{"a follower is told of contents of any kind and size"}},
		{name: "does not tell of long batches", following: func(l *tattler) {
			l.tells(func(_ string, entries []replay.Entry, tell func([]replay.Entry)) {
				if len(entries) < 100 {
					tell(entries)
				}
			})
		}, caught: []string{"a follower is told of contents of any kind and size"}},
		{name: "does not tell of the end", following: func(l *tattler) {
			l.tells(func(_ string, entries []replay.Entry, tell func([]replay.Entry)) {
				if n := len(entries); n == 0 || string(entries[n-1].Data) != "the end" {
					tell(entries)
				}
			})
		}, caught: []string{"a follower is told of starts, starts over and ends"}},
		{name: "does not tell of starts and starts over", following: func(l *tattler) {
			l.tells(func(_ string, entries []replay.Entry, tell func([]replay.Entry)) {
				if entries == nil || entries[0].Cursor.Revision > 1 {
					tell(entries)
				}
			})
		}, caught: []string{"a follower is told of starts, starts over and ends"}},
		{name: "takes ids for patterns", following: func(l *tattler) {
			l.onFollow = func(id string, tell func([]replay.Entry)) func() {
				stops := []func(){l.Process.Follow(id, tell)}
				for _, name := range texts() {
					if matches, _ := path.Match(id, name); matches && name != id {
						stops = append(stops, l.Process.Follow(name, tell))
					}
				}
				return func() {
					for _, stop := range stops {
						stop()
					}
				}
			}
		}, caught: []string{"a follower is told of its own history"}},
		{name: "goes on after stop", following: func(l *tattler) {
			l.onFollow = func(id string, tell func([]replay.Entry)) func() {
				l.Process.Follow(id, tell)
				return func() {}
			}
		}, caught: []string{"stop ends the telling"}},
		{name: "stops all who follow an id", following: func(l *tattler) {
			var mu sync.Mutex
			stops := make(map[string][]func())
			l.onFollow = func(id string, tell func([]replay.Entry)) func() {
				mu.Lock()
				defer mu.Unlock()
				stops[id] = append(stops[id], l.Process.Follow(id, tell))
				return func() {
					mu.Lock()
					defer mu.Unlock()
					for _, stop := range stops[id] {
						stop()
					}
					stops[id] = nil
				}
			}
		}, caught: []string{"stop ends the telling", "any number may follow at once"}},
		{name: "has one follower of each id", following: func(l *tattler) {
			var mu sync.Mutex
			stops := make(map[string]func())
			l.onFollow = func(id string, tell func([]replay.Entry)) func() {
				mu.Lock()
				defer mu.Unlock()
				if stop := stops[id]; stop != nil {
					stop()
				}
				stops[id] = l.Process.Follow(id, tell)
				return stops[id]
			}
		}, caught: []string{"a follower is told what any handle appends", "any number may follow at once", "stop ends the telling"}},
		{name: "tells the beginning before Follow returns", following: func(l *tattler) {
			l.onFollow = func(id string, tell func([]replay.Entry)) func() {
				told := make(chan struct{})
				stop := l.Process.Follow(id, tell)
				l.wait.Go(func() {
					defer close(told)
					tell(nil)
				})
				select {
				case <-told:
				case <-l.closed:
				}
				return stop
			}
		}, caught: []string{"nobody waits for tell, and tell may follow and stop"}},
		{name: "waits in stop until tell has returned", following: func(l *tattler) {
			l.onFollow = func(id string, tell func([]replay.Entry)) func() {
				var mu sync.Mutex
				telling := make(chan struct{})
				close(telling)
				stop := l.Process.Follow(id, func(entries []replay.Entry) {
					done := make(chan struct{})
					defer close(done)
					mu.Lock()
					telling = done
					mu.Unlock()
					tell(entries)
				})
				return func() {
					stop()
					mu.Lock()
					done := telling
					mu.Unlock()
					select {
					case <-done:
					case <-l.closed:
					}
				}
			}
		}, caught: []string{"nobody waits for tell, and tell may follow and stop"}},
		{name: "tells by any number of goroutines", following: func(l *tattler) {
			l.tells(func(_ string, entries []replay.Entry, tell func([]replay.Entry)) {
				for range 4 {
					l.wait.Go(func() { tell(entries) })
				}
			})
		}, caught: []string{"a follower is told what any handle appends"}},
		{name: "goes on after Close", following: func(l *tattler) {
			l.onClose = func() error { return nil }
		}, caught: []string{"closing the store ends the telling"}},
		{name: "keeps a goroutine for each follower after Close", following: func(l *tattler) {
			l.onFollow = func(id string, tell func([]replay.Entry)) func() {
				stopped := make(chan struct{})
				stop := l.Process.Follow(id, tell)
				go func() { <-stopped }()
				return sync.OnceFunc(func() {
					close(stopped)
					stop()
				})
			}
		}, caught: []string{"closing the store ends the telling"}},
	}
}
