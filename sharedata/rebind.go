package sharedata

import (
	"time"
)

// wantsRebind reports whether the request's function was found for another ShareData
// by the same id: another process has removed that and created this one.
func (c *committer) wantsRebind(r *request, at *position) bool {
	return r.rebind != nil && !r.change.isFor(*at)
}

// rebind finds the function of the request again, once. That may call the
// application's Resolver, which gets as much time as a function.
func (c *committer) rebind(r *request) error {
	s := c.shareData
	if err := s.refresh(); err != nil { // the request may be for a newer ShareData
		return err
	}
	rebind := r.rebind
	r.rebind = nil
	if r.change.isFor(*s.current.Load()) {
		return nil
	}
	type result struct {
		binding binding
		err     error
	}
	found := make(chan result, 1)
	s.calling.Store(callingFunctions) // the Resolver must not wait for this goroutine
	defer s.calling.Store(callingNothing)
	go func() {
		b, err := rebind()
		found <- result{b, err}
	}()
	var late <-chan time.Time
	if timeout := s.manager.options.FunctionTimeout; timeout > 0 {
		timer := time.NewTimer(timeout)
		defer timer.Stop()
		late = timer.C
	}
	select {
	case f := <-found:
		r.change.binding, r.refused = f.binding, f.err
	case <-late:
		// It is refused because it is for the old ShareData.
	}
	return nil
}
