package realtime

import (
	"slices"
	"sync"
	"testing"
	"testing/synctest"
)

type taskFunc func()

func (f taskFunc) run() { f() }

func TestGoroutines_TasksNeverWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGoroutines()
		defer g.close()
		for range 2 { // the second time, some goroutines wait for a task
			var all sync.WaitGroup
			release := make(chan struct{})
			const tasks = 2 * maxWaiting
			all.Add(tasks)
			begun := make(chan struct{}, tasks)
			for range tasks {
				g.start(taskFunc(func() {
					defer all.Done()
					begun <- struct{}{}
					<-release
				}))
			}
			for range tasks {
				<-begun // each although none has ended
			}
			close(release)
			all.Wait()
			synctest.Wait()
			if g.waiting != maxWaiting || g.starting || g.queue.len() > 0 {
				t.Fatalf("%d goroutines wait, want %d; starting %v, %d tasks", g.waiting, maxWaiting, g.starting, g.queue.len())
			}
		}
	})
}

// A task does not wait for all of the bulk.
func TestGoroutines_BulkTakesTurns(t *testing.T) {
	g := newGoroutines()
	defer g.close()
	g.starting = true // there are no goroutines
	var order []string
	for range 100 {
		g.startBulk(taskFunc(func() { order = append(order, "bulk") }))
	}
	for range 3 {
		g.start(taskFunc(func() { order = append(order, "task") }))
	}
	for range 103 {
		next, _ := g.take(false)
		next.run()
	}
	want := []string{"task", "bulk", "task", "bulk", "task", "bulk", "bulk"}
	if got := order[:len(want)]; !slices.Equal(got, want) {
		t.Errorf("got %v", got)
	}
}
