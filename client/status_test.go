package client

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"testing/synctest"
	"time"
)

func TestStatuses(t *testing.T) {
	testWithFake(t, func(t *testing.T, f *fake) {
		f.set(func(f *fake) { f.hang = true })
		c := f.start(nil)
		var changes []string
		finished := make(chan struct{})
		go func() {
			defer close(finished)
			for s := range c.Statuses(context.Background()) {
				line := s.State.String()
				if s.State == Connecting || s.State == Reconnecting {
					line += fmt.Sprintf(" %d after %v", s.Attempt, s.Delay)
				}
				var refused *ConnectError
				var lost *DisconnectError
				switch {
				case errors.As(s.Err, &refused):
					line += ": refused"
				case errors.As(s.Err, &lost):
					line += fmt.Sprintf(": %d", lost.Code)
				case s.Err != nil:
					line += ": " + s.Err.Error()
				}
				changes = append(changes, line)
			}
		}()
		synctest.Wait()
		f.set(func(f *fake) { f.hang, f.down = false, true })
		time.Sleep(16 * time.Second)
		f.set(func(f *fake) { f.down = false })
		f.accept().close(4001, "fell behind")
		f.accept()
		synctest.Wait()
		c.Close()
		<-finished
		want := []string{
			"connecting 1 after 0s",
			"reconnecting 2 after 500ms: refused",
			"reconnecting 3 after 1s: refused",
			"open",
			"reconnecting 1 after 0s: 4001",
			"open",
			"closed: client: closed",
		}
		if !slices.Equal(changes, want) {
			t.Errorf("\n got %q\nwant %q", changes, want)
		}
		for s := range c.Statuses(context.Background()) {
			if s.State != Closed {
				t.Errorf("%v after Close", s.State)
			}
		}
	})
}

func TestStatuses_ContextEnds(t *testing.T) {
	testWithFake(t, func(t *testing.T, f *fake) {
		c, _ := f.connect(nil)
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		count := 0
		for range c.Statuses(ctx) {
			count++
		}
		if count != 1 {
			t.Errorf("%d statuses, want 1", count)
		}
	})
}

func TestStatusLog_Bounded(t *testing.T) {
	l := newStatusLog(Status{Attempt: 0})
	for i := 1; i <= 3*keptStatuses; i++ {
		l.add(Status{Attempt: i})
	}
	if len(l.recent) != keptStatuses {
		t.Fatalf("%d remembered, want %d", len(l.recent), keptStatuses)
	}
	var got []int
	for at := uint64(0); ; {
		status, next, wait := l.after(at)
		if wait != nil {
			break
		}
		got, at = append(got, status.Attempt), next
	}
	if len(got) != keptStatuses || got[0] != 2*keptStatuses+1 || got[len(got)-1] != 3*keptStatuses {
		t.Errorf("got %v", got)
	}
}
