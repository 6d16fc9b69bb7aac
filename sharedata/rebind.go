package sharedata

import (
	"errors"
	"time"
)

// bindAgain deals with proposals that were made to a ShareData which another
// process has removed and created anew: nobody here knew of that. They are
// looked at anew, in their order and once. It returns false if there are none.
//
// Looking may ask the application's Resolver, which may take its time, though
// not more than a function.
func (s *shareData) bindAgain(requests []*request, d decision) bool {
	var old []*request
	for i, o := range d.outcomes {
		if requests[i].bindAgain != nil && errors.Is(o.err, errCreatedAnew) {
			old = append(old, requests[i])
		}
	}
	if len(old) == 0 {
		return false
	}
	if err := s.follow(); err != nil { // they may also know better than this manager
		for _, r := range old {
			r.refused = err
		}
		return true
	}
	type result struct {
		binding binding
		err     error
	}
	results := make(chan result, len(old))
	calls := make([]func() (binding, error), len(old))
	for i, r := range old {
		calls[i], r.bindAgain = r.bindAgain, nil
	}
	s.judging.Store(true) // the Resolver must not be made to wait for this goroutine
	defer s.judging.Store(false)
	go func() {
		for _, call := range calls {
			b, err := call()
			results <- result{b, err}
		}
	}()
	var late <-chan time.Time
	if timeout := s.manager.options.FunctionTimeout; timeout > 0 {
		timer := time.NewTimer(timeout)
		defer timer.Stop()
		late = timer.C
	}
	for _, r := range old {
		select {
		case found := <-results:
			r.change.binding, r.refused = found.binding, found.err
		case <-late:
			return true // the rest is refused as being too old
		}
	}
	return true
}
