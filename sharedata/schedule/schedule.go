package schedule

import (
	"cmp"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"hash/fnv"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"time"
	"unicode/utf8"

	"github.com/safe-go/safe/internal/jsonpatch"
	"github.com/safe-go/safe/internal/option"
	"github.com/safe-go/safe/sharedata"
)

// Proposal is a proposal with the time at which it is to be made.
type Proposal struct {
	// ID identifies the scheduled proposal, and is the idempotency key with which it is
	// made. Two with one ID are the same if all else is equal too: to schedule it again
	// has no effect. IDs that are equal up to their first "/" belong together, see
	// ScheduleAll. Default: random. At most MaxIDBytes of UTF-8.
	ID string
	// At is the time from which it is made.
	At time.Time
	// ShareDataID, FunctionID and Data are those of a sharedata.Proposal. Where
	// proposals are returned, Data is a json.RawMessage.
	ShareDataID, FunctionID string
	Data                    any
	// Caller is who proposes. Default: the context's, see sharedata.WithCaller. Its Value
	// is not kept.
	Caller *sharedata.Caller
	// Begun says, where proposals are returned, that it is being made.
	Begun bool
}

// MaxIDBytes is the largest length of a Proposal's ID.
const MaxIDBytes = 256

// Errors of Schedule, Replace, Get and Cancel. Those of sharedata.Manager.Propose are possible too.
var (
	// ErrInvalid: a proposal lacks something or is too long.
	ErrInvalid = errors.New("invalid scheduled proposal")
	// ErrExists: another proposal was scheduled by that ID.
	ErrExists = errors.New("another proposal is scheduled by this id")
	// ErrFull: Options.MaxPending proposals are scheduled.
	ErrFull = errors.New("too many proposals are scheduled")
	// ErrUnknown: no proposal by that ID waits. It was never scheduled, was cancelled, or
	// was made.
	ErrUnknown = errors.New("no proposal is scheduled by this id")
	// ErrBegun: the time of the proposal has come, and it cannot be cancelled any more.
	ErrBegun = errors.New("the proposal is being made")
)

// Options configures a Scheduler. Nil or the zero value is good. For numbers and
// durations 0 is the default.
type Options struct {
	// ID begins the ids of the ShareData in which proposals wait: ID/0 to ID/63. Each ID
	// is a schedule of its own. Default: "$schedule", which servers let no client reach
	// (realtime.ReservedPrefix).
	ID string
	// Authorize says whether a caller may still make a proposal whose time has come. If
	// it returns an error, the proposal is not made and ends with that error. It is
	// called by the goroutine of Run and should return at once. Default: nil, all may.
	Authorize func(context.Context, Proposal) error
	// MaxPending is about how many proposals may wait; with more, Schedule fails with
	// ErrFull. Default: 1,000,000; -1 sets no limit.
	MaxPending int
	// TakeoverAfter is how long a process that has begun to make a proposal is given to
	// finish, before another one makes it. On a store that processes cannot share, what an
	// earlier process had begun is made at once. Default: 5 s.
	TakeoverAfter time.Duration
	// Logger gets proposals that end with an error, and failures of the store.
	// Default: none.
	Logger *slog.Logger
}

// parts is how many ShareData keep the proposals, by hashes (see partOf): the larger
// a state, the more it costs to change it. It cannot change without losing sight of
// proposals that wait.
const parts = 64

// Scheduler schedules proposals and, while Run is running, makes them. All methods may
// be called from any number of goroutines.
type Scheduler struct {
	manager *sharedata.Manager
	options Options
	process string           // begins proposals
	now     func() time.Time // for tests

	// mu is taken in observers, so nothing is called with it held.
	mu       sync.Mutex
	running  bool
	queue    queue
	inFlight int       // submitted, without a result
	results  []result  // to be recorded
	record   time.Time // when to try it again; zero: at once
	lost     []int     // parts that are not observed
	wake     chan struct{}
}

// New returns a scheduler on a manager.
func New(manager *sharedata.Manager, options *Options) (*Scheduler, error) {
	s := &Scheduler{manager: manager, process: rand.Text(), now: time.Now, wake: make(chan struct{}, 1)}
	if options != nil {
		s.options = *options
	}
	s.options.ID = cmp.Or(s.options.ID, "$schedule")
	if s.options.Logger == nil {
		s.options.Logger = slog.New(slog.DiscardHandler)
	}
	s.queue.items = make(map[string]*item)
	return s, errors.Join(
		option.Fill("schedule: Options.MaxPending", &s.options.MaxPending, 1_000_000, 0),
		option.FillPositive("schedule: Options.TakeoverAfter", &s.options.TakeoverAfter, 5*time.Second),
	)
}

// partOf returns which part keeps the proposal with an ID: one part all that belong
// together.
func partOf(id string) int {
	h := fnv.New32a()
	h.Write([]byte(group(id)))
	return int(h.Sum32() % parts)
}

// group returns what the IDs of proposals that belong together begin with.
func group(id string) string {
	name, _, _ := strings.Cut(id, "/")
	return name
}

func (s *Scheduler) partID(part int) string { return fmt.Sprintf("%s/%d", s.options.ID, part) }

// Schedule schedules a proposal and returns its ID. After an error that wraps
// sharedata.ErrOutcomeUnknown, schedule it again by the same ID.
func (s *Scheduler) Schedule(ctx context.Context, p Proposal) (id string, err error) {
	ids, err := s.ScheduleAll(ctx, []Proposal{p})
	if err != nil {
		return "", err
	}
	return ids[0], nil
}

// ScheduleAll schedules proposals and returns their IDs. It costs less than one call of
// Schedule for each. Those with IDs that are equal up to their first "/", such as "17" and
// "17/notice", are scheduled together or not at all; if it fails, others may have been
// scheduled.
func (s *Scheduler) ScheduleAll(ctx context.Context, proposals []Proposal) (ids []string, err error) {
	var inputs [parts]scheduleInput
	for _, p := range proposals {
		if p.ID == "" {
			p.ID = rand.Text()
		}
		r, err := newRecord(ctx, p)
		if err != nil {
			return nil, err
		}
		input := &inputs[partOf(p.ID)]
		input.Proposals = append(input.Proposals, namedRecord{p.ID, r})
		ids = append(ids, p.ID)
	}
	for part := range inputs {
		input := &inputs[part]
		if len(input.Proposals) == 0 {
			continue
		}
		if err := s.add(ctx, part, input); err != nil {
			return nil, err
		}
	}
	return ids, nil
}

// Replace cancels a proposal that waits and schedules others in its place, all of it or
// nothing: it fails as Cancel and Schedule do. Their IDs must be equal to that of the
// cancelled one up to the first "/"; one that has the same ID is the proposal with another
// time, or with other data.
func (s *Scheduler) Replace(ctx context.Context, id string, with ...Proposal) error {
	if id == "" {
		return ErrUnknown
	}
	input := &scheduleInput{Replaces: id}
	for _, p := range with {
		if group(p.ID) != group(id) {
			return fmt.Errorf("%w: %.60q and %.60q must be equal up to the first /", ErrInvalid, p.ID, id)
		}
		r, err := newRecord(ctx, p)
		if err != nil {
			return err
		}
		input.Proposals = append(input.Proposals, namedRecord{p.ID, r})
	}
	return s.add(ctx, partOf(id), input)
}

func (s *Scheduler) add(ctx context.Context, part int, input *scheduleInput) error {
	if s.options.MaxPending > 0 {
		input.Most = max(1, s.options.MaxPending/parts)
	}
	return s.change(ctx, part, scheduleFunction, input, sharedata.CallerFrom(ctx))
}

// newRecord checks a proposal.
func newRecord(ctx context.Context, p Proposal) (record, error) {
	invalid := func(problem string) (record, error) { return record{}, fmt.Errorf("%w: %s", ErrInvalid, problem) }
	switch {
	case len(p.ID) > MaxIDBytes || !utf8.ValidString(p.ID):
		return invalid(fmt.Sprintf("the ID has %d bytes; use at most %d of UTF-8", len(p.ID), MaxIDBytes))
	case p.At.IsZero():
		return invalid("set At")
	case p.At.Year() < 0 || p.At.Year() > 9999:
		return invalid("At is not between the years 0 and 9999")
	case p.ShareDataID == "" || p.FunctionID == "":
		return invalid("set ShareDataID and FunctionID")
	}
	data, err := json.Marshal(p.Data)
	if err != nil {
		return invalid("Data: " + err.Error())
	}
	if p.Caller == nil {
		p.Caller = sharedata.CallerFrom(ctx)
	}
	return record{At: p.At.UTC().Round(0), ShareDataID: p.ShareDataID, FunctionID: p.FunctionID, Data: data, Caller: callerRecordOf(p.Caller)}, nil
}

// Cancel cancels a proposal, in the name of the context's caller.
func (s *Scheduler) Cancel(ctx context.Context, id string) error {
	return s.change(ctx, partOf(id), cancelFunction, cancelInput{ID: id}, sharedata.CallerFrom(ctx))
}

// Get returns a proposal that waits or is being made, also if another process has just
// scheduled it.
func (s *Scheduler) Get(ctx context.Context, id string) (Proposal, error) {
	part, err := s.manager.Refresh(ctx, s.partID(partOf(id)))
	if err != nil && !errors.Is(err, sharedata.ErrUnknownShareData) {
		return Proposal{}, err
	}
	text, found := jsonpatch.Find(part.State, sharedata.Path(id))
	if !found {
		return Proposal{}, fmt.Errorf("%w: %.60q", ErrUnknown, id)
	}
	return parseProposal(id, text)
}

// List returns the proposals that wait or are being made and that a function selects, in
// the order of their times; nil selects all.
func (s *Scheduler) List(ctx context.Context, selects func(Proposal) bool) ([]Proposal, error) {
	var list []Proposal
	for part := range parts {
		state, err := s.state(ctx, part)
		if err != nil {
			return nil, err
		}
		err = eachMember(state, func(id string, text json.RawMessage) error {
			p, err := parseProposal(id, text)
			if err == nil && (selects == nil || selects(p)) {
				list = append(list, p)
			}
			return err
		})
		if err != nil {
			return nil, fmt.Errorf("schedule: %s is damaged: %w", s.partID(part), err)
		}
	}
	slices.SortFunc(list, func(a, b Proposal) int { return cmp.Or(a.At.Compare(b.At), cmp.Compare(a.ID, b.ID)) })
	return list, nil
}

// state returns the state of a part; nil if it does not exist.
func (s *Scheduler) state(ctx context.Context, part int) (json.RawMessage, error) {
	snapshot, err := s.manager.Get(ctx, s.partID(part))
	if errors.Is(err, sharedata.ErrUnknownShareData) {
		return nil, nil
	}
	return snapshot.State, err
}

// change runs a function on a part, which is created if need be.
func (s *Scheduler) change(ctx context.Context, part int, f *sharedata.Function, input any, caller *sharedata.Caller) error {
	p := sharedata.Proposal{ShareDataID: s.partID(part), Function: f, Data: input, Caller: caller}
	verdict, err := s.manager.Propose(ctx, p)
	if errors.Is(err, sharedata.ErrUnknownShareData) {
		if _, err = s.manager.Ensure(ctx, p.ShareDataID, struct{}{}); err == nil {
			verdict, err = s.manager.Propose(ctx, p)
		}
	}
	if err != nil {
		return err
	}
	return rejectionError(verdict)
}
