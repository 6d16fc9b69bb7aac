package sharedata

import (
	"context"
	"encoding/json"
)

// wantsRebind reports whether the request's function was found for another ShareData
// by the same id: another process has removed that and created this one.
func (c *committer) wantsRebind(r *request, at *position) bool {
	return r.rebind != nil && !r.change.isFor(*at)
}

// rebind finds the function of the request again, once. That may call the
// application's Resolver, which is bounded like a function: in time, and in how many
// calls go on after their deadline.
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
	found := make(chan binding, 1)
	resolver := &Function{
		timeout: s.manager.options.FunctionTimeout,
		calls:   &s.manager.resolverCalls,
		apply: func(context.Context, json.RawMessage, json.RawMessage) (effect, error) {
			b, err := rebind()
			found <- b
			return effect{}, err
		},
	}
	s.calling.Store(callingFunctions) // the Resolver must not wait for this goroutine
	defer s.calling.Store(callingNothing)
	_, err := newSoloRun().run(r.ctx, resolver, nil, nil)
	failed, ok := err.(*FunctionError)
	switch {
	case err == nil:
		r.change.binding = <-found
	case !ok:
		r.refused = err
	case len(found) > 0: // the Resolver has returned, with an error of its own
		r.refused = failed.Err
	default:
		// The Resolver did not return: the request is refused because it is for the
		// old ShareData.
	}
	return nil
}
