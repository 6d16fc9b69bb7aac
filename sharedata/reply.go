package sharedata

// reply hands out the outcomes. err is why the batch could not be committed; outcomes
// that do not depend on that are handed out all the same.
func (c *committer) reply(d *decision, err error) {
	for i := range d.outcomes {
		r, o := c.requests[i], &d.outcomes[i]
		if err != nil && (o.pending || o.undecided) {
			c.shareData.replyError(r, errorOf(o, err))
		} else {
			c.shareData.reply(r, *o)
		}
	}
	c.drop(len(d.outcomes))
}

// errorOf is the error of an outcome that rests on an append which failed. A change
// that would have added no entry has no effect in any case.
func errorOf(o *outcome, err error) error {
	if o.err == nil && !o.verdict.Cursor.IsZero() {
		return err
	}
	return withoutDoubt(err)
}

// failAll hands out an error to everybody who waits at the moment: what was in the
// way of one request is in the way of all.
func (c *committer) failAll(err error) {
	for _, r := range c.shareData.queue.popUpTo(c.shareData.queue.newest()) {
		if r.stage.CompareAndSwap(stageQueued, stageTaken) {
			c.requests = append(c.requests, r)
		}
	}
	for _, r := range c.requests {
		c.shareData.replyError(r, err)
	}
	c.drop(len(c.requests))
}

// drop forgets the first n requests.
func (c *committer) drop(n int) {
	left := copy(c.requests, c.requests[n:])
	clear(c.requests[left:])
	if c.requests = c.requests[:left]; left == 0 && cap(c.requests) > keptRequests {
		c.requests = nil
	}
}

// keptRequests is the largest capacity of an empty list of requests that is kept for
// the next ones.
const keptRequests = 8

// reply hands out the outcome of a request.
func (s *shareData) reply(r *request, o outcome) {
	if r.observation != nil && o.err == nil {
		o.at = s.join(r.observation)
	}
	if !r.submitted {
		r.done(o)
		return
	}
	s.calling.Store(callingFunctions)
	r.done(o)
	s.calling.Store(callingNothing)
}

// replyError hands out an error. A request that only asks for the position gets the
// one that is cached.
func (s *shareData) replyError(r *request, err error) {
	at := s.current.Load()
	if r.change.kind == changeNothing && !r.change.strict && at != nil && at.exists {
		s.reply(r, outcome{at: *at})
		return
	}
	s.reply(r, outcome{err: err})
}
