package realtime

import (
	"context"
	"testing"
	"testing/synctest"
)

type testKey struct{}

func TestLazyContext(t *testing.T) {
	for _, when := range []string{"before", "after", "by the parent"} {
		synctest.Test(t, func(t *testing.T) {
			parent, cancelParent := context.WithCancel(context.WithValue(t.Context(), testKey{}, "value"))
			defer cancelParent()
			c := &lazyContext{parent: parent}
			cancel := c.cancel
			if when == "by the parent" {
				cancel = cancelParent
			}
			if c.Err() != nil || c.Value(testKey{}) != "value" {
				t.Fatalf("%v, %v", c.Err(), c.Value(testKey{}))
			}
			if when == "before" {
				cancel()
				if c.Err() != context.Canceled {
					t.Fatal(c.Err())
				}
			}
			child, cancelChild := context.WithCancel(c)
			defer cancelChild()
			if when != "before" && (child.Err() != nil || child.Value(testKey{}) != "value") {
				t.Fatalf("%v, %v", child.Err(), child.Value(testKey{}))
			}
			cancel()
			<-c.Done()
			<-child.Done()
			if c.Err() != context.Canceled || child.Err() != context.Canceled || context.Cause(c) != context.Canceled {
				t.Fatalf("%s: %v, %v", when, c.Err(), child.Err())
			}
		})
	}
}
