package schedule

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/cenkalti/backoff/v4"

	"github.com/safe-go/safe/sharedata"
)

const (
	// maxInFlight bounds the proposals that are being made at a time.
	maxInFlight = 1024
	// maxSleep is after which time the clock is read again while something waits: a
	// timer does not notice that the clock was set, or that the machine slept.
	maxSleep = time.Minute
	// maxRetry bounds the time between two attempts; the first is after minRetry.
	minRetry = time.Second / 4
	maxRetry = time.Minute
	// finishTimeout bounds the recording of outcomes when Run ends.
	finishTimeout = 10 * time.Second
)

// ErrRunning: Run is running already.
var ErrRunning = errors.New("schedule: Run is running already")

// result is an outcome that has to be recorded.
type result struct {
	part int
	outcome
}

// Run makes proposals at their times until the context ends, and returns its error. It
// then waits for the verdicts of those that it has submitted.
func (s *Scheduler) Run(ctx context.Context) error {
	s.mu.Lock()
	if s.running {
		s.mu.Unlock()
		return ErrRunning
	}
	s.running = true
	s.lost = s.lost[:0]
	for part := range parts {
		s.lost = append(s.lost, part)
	}
	s.mu.Unlock()

	var stops [parts]func()
	defer s.end(&stops)
	timer := time.NewTimer(0)
	defer timer.Stop()
	for ctx.Err() == nil {
		if err := s.observeLost(ctx, &stops); err != nil && ctx.Err() == nil {
			return err
		}
		s.makeDue(ctx)
		s.finish(ctx)
		timer.Reset(s.sleep())
		select {
		case <-s.wake:
		case <-timer.C:
		case <-ctx.Done():
		}
	}
	return ctx.Err()
}

// end waits for what was submitted, and records it.
func (s *Scheduler) end(stops *[parts]func()) {
	for s.flying() > 0 {
		<-s.wake
	}
	ctx, cancel := context.WithTimeout(context.Background(), finishTimeout)
	defer cancel()
	s.mu.Lock()
	s.record = time.Time{}
	s.mu.Unlock()
	s.finish(ctx)
	for _, stop := range stops {
		if stop != nil {
			stop()
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.running = false
	s.queue = queue{items: make(map[string]*item)}
}

func (s *Scheduler) flying() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.inFlight
}

// sleep returns how long nothing is to be done.
func (s *Scheduler) sleep() time.Duration {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.lost) > 0 || len(s.results) > 0 && s.record.IsZero() {
		return 0
	}
	sleep, now := maxSleep, s.now()
	if at, some := s.queue.next(); some && s.inFlight < maxInFlight {
		sleep = min(sleep, at.Sub(now))
	}
	if len(s.results) > 0 {
		sleep = min(sleep, s.record.Sub(now))
	}
	return max(sleep, 0)
}

// observeLost observes the parts that are not observed. It tries until it succeeds or the
// context ends.
func (s *Scheduler) observeLost(ctx context.Context, stops *[parts]func()) error {
	s.mu.Lock()
	lost := s.lost
	s.lost = nil
	s.mu.Unlock()
	var errs [parts]error
	var observing sync.WaitGroup
	for _, part := range lost {
		observing.Go(func() {
			policy := backoff.NewExponentialBackOff(backoff.WithInitialInterval(minRetry), backoff.WithMaxInterval(maxRetry), backoff.WithMaxElapsedTime(0))
			errs[part] = backoff.RetryNotify(func() (err error) {
				stops[part], err = s.observePart(ctx, part)
				return err
			}, backoff.WithContext(policy, ctx), func(err error, _ time.Duration) {
				s.options.Logger.Warn("a part of the schedule cannot be read; trying again", "shareData", s.partID(part), "error", err)
			})
		})
	}
	observing.Wait()
	return errors.Join(errs[:]...)
}

func (s *Scheduler) observePart(ctx context.Context, part int) (stop func(), err error) {
	id := s.partID(part)
	if _, err := s.manager.Ensure(ctx, id, struct{}{}); err != nil {
		return nil, permanent(err)
	}
	// What is committed before the snapshot is known replaces it.
	var mu sync.Mutex
	var early *sharedata.Event
	loaded := false
	snapshot, stop, err := s.manager.Observe(ctx, id, sharedata.ObserverFunc(func(events []sharedata.Event) {
		mu.Lock()
		defer mu.Unlock()
		if !loaded {
			early = &events[len(events)-1]
			return
		}
		s.observe(part, events)
	}))
	if err != nil {
		return nil, permanent(err)
	}
	mu.Lock()
	defer mu.Unlock()
	loaded = true
	s.mu.Lock()
	defer s.mu.Unlock()
	s.loadLocked(part, snapshot.State)
	if early != nil {
		s.loadLocked(part, early.State)
		if early.Type == sharedata.EntryRemoved {
			s.lost = append(s.lost, part)
		}
	}
	return stop, nil
}

func permanent(err error) error {
	if errors.Is(err, sharedata.ErrClosed) || errors.Is(err, sharedata.ErrInvalidID) {
		return backoff.Permanent(err)
	}
	return err
}

// makeDue makes the proposals that are due, in the order of their times.
func (s *Scheduler) makeDue(ctx context.Context) {
	now := s.now()
	s.mu.Lock()
	due := s.queue.take(now, maxInFlight-s.inFlight)
	s.mu.Unlock()
	var inParts [parts][]*item
	for _, i := range due {
		inParts[i.part] = append(inParts[i.part], i)
	}
	var begun [parts][]ready
	var beginning sync.WaitGroup
	for part, items := range inParts {
		if len(items) > 0 {
			beginning.Go(func() { begun[part] = s.begin(ctx, part, items, now) })
		}
	}
	beginning.Wait()
	all := slices.Concat(begun[:]...)
	slices.SortFunc(all, func(a, b ready) int { return compareItems(a.item, b.item) })
	for _, r := range all {
		s.submit(ctx, r)
	}
}

// ready is a proposal that this process has begun to make.
type ready struct {
	*item
	record
}

// begin records that this process makes the proposals of a part that are due, except
// for those that were cancelled or that another process makes, and returns them.
func (s *Scheduler) begin(ctx context.Context, part int, due []*item, now time.Time) (made []ready) {
	input := beginInput{begun: begun{By: s.process, At: now.UTC().Round(0)}}
	wanted, others := make(map[string]*item, len(due)), make(map[*item]*begun)
	s.mu.Lock()
	for _, i := range due {
		wanted[i.id] = i
		if i.begun == nil || i.begun.By != s.process {
			input.Proposals = append(input.Proposals, beginning{i.id, i.begun})
		}
	}
	s.mu.Unlock()
	var err error
	if len(input.Proposals) > 0 {
		err = s.change(ctx, part, beginFunction, input, nil)
	}
	var state json.RawMessage
	if err == nil || errors.Is(err, errNothing) {
		state, err = s.state(ctx, part)
	}
	if err == nil {
		err = eachMember(state, func(id string, text json.RawMessage) error {
			i := wanted[id]
			if i == nil {
				return nil
			}
			r := ready{item: i}
			if err := json.Unmarshal(text, &r.record); err != nil {
				return err
			}
			switch {
			case r.Begun == nil: // another one has taken its place, or its part was removed and created again
			case r.Begun.By == s.process:
				made = append(made, r)
				delete(wanted, id)
			default:
				others[i] = r.Begun
			}
			return nil
		})
	}
	if err != nil {
		s.options.Logger.Warn("proposals that are due cannot be begun; trying again", "shareData", s.partID(part), "error", err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, i := range wanted {
		if by := others[i]; by != nil && err == nil {
			i.begun = by
			s.queue.putBack(i, s.now().Add(s.options.TakeoverAfter))
		} else { // or it has been cancelled, which removes it
			s.retryLocked(i)
		}
	}
	return made
}

// retryLocked tries a proposal again later.
func (s *Scheduler) retryLocked(i *item) {
	wait := min(minRetry<<min(i.attempts, 16), maxRetry)
	i.attempts++
	s.queue.putBack(i, s.now().Add(wait))
}

// submit makes a proposal.
func (s *Scheduler) submit(ctx context.Context, r ready) {
	s.mu.Lock()
	s.inFlight++
	s.mu.Unlock()
	p := r.proposal(r.id)
	if err := s.authorize(ctx, p); err != nil {
		s.done(r.item, sharedata.Verdict{}, err)
		return
	}
	s.manager.Submit(ctx, sharedata.Proposal{
		ShareDataID: p.ShareDataID, FunctionID: p.FunctionID, Data: p.Data, Caller: p.Caller,
		IdempotencyKey: p.ID, Connection: s.options.ID,
	}, func(v sharedata.Verdict, err error) { s.done(r.item, v, err) })
}

// authorize asks the application, a panic of which refuses.
func (s *Scheduler) authorize(ctx context.Context, p Proposal) (err error) {
	if s.options.Authorize == nil {
		return nil
	}
	defer func() {
		if value := recover(); value != nil {
			err = fmt.Errorf("schedule: Options.Authorize panicked: %v", value)
		}
	}()
	return s.options.Authorize(ctx, p)
}

// done takes what became of a proposal. The manager may call it inside the section that
// orders commits, so it does not block.
func (s *Scheduler) done(i *item, v sharedata.Verdict, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	defer s.notify()
	s.inFlight--
	if isTransient(err) {
		s.retryLocked(i)
		return
	}
	o := outcome{ID: i.id, Accepted: v.Accepted, Code: v.Code, Reason: v.Reason}
	if err != nil {
		o.Error = err.Error()
		s.options.Logger.Warn("a scheduled proposal has no verdict", "id", i.id, "error", err)
	} else {
		o.TransactionID = v.Cursor.String()
	}
	s.results = append(s.results, result{i.part, o})
}

// isTransient reports whether the same proposal may have a verdict later.
func isTransient(err error) bool {
	for _, kind := range []error{
		sharedata.ErrStore, sharedata.ErrBusy, sharedata.ErrOutcomeUnknown, sharedata.ErrFunctionStuck, sharedata.ErrClosed, context.Canceled,
	} {
		if errors.Is(err, kind) {
			return true
		}
	}
	return false
}

// finish records what became of proposals, which removes them. Until that has succeeded,
// it is tried again.
func (s *Scheduler) finish(ctx context.Context) {
	s.mu.Lock()
	if len(s.results) == 0 || s.now().Before(s.record) {
		s.mu.Unlock()
		return
	}
	results := s.results
	s.results, s.record = nil, time.Time{}
	s.mu.Unlock()

	var inputs [parts]finishInput
	for _, r := range results {
		inputs[r.part].Outcomes = append(inputs[r.part].Outcomes, r.outcome)
	}
	var finishing sync.WaitGroup
	for part, input := range inputs {
		if len(input.Outcomes) > 0 {
			finishing.Go(func() { s.finishPart(ctx, part, input) })
		}
	}
	finishing.Wait()
}

func (s *Scheduler) finishPart(ctx context.Context, part int, input finishInput) {
	err := s.change(ctx, part, finishFunction, input, nil)
	s.mu.Lock()
	defer s.mu.Unlock()
	if err != nil && !errors.Is(err, errNothing) {
		s.options.Logger.Warn("what became of scheduled proposals cannot be recorded; trying again", "shareData", s.partID(part), "error", err)
		for _, o := range input.Outcomes {
			s.results = append(s.results, result{part, o})
		}
		s.record = s.now().Add(minRetry)
		return
	}
	for _, o := range input.Outcomes {
		s.queue.remove(o.ID)
	}
}
