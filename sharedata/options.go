package sharedata

import (
	"errors"
	"log/slog"
	"time"

	"github.com/safe-go/safe/internal/option"
	"github.com/safe-go/safe/replay"
)

// defaultFunctionTimeout is the deadline of a function where nothing else is set.
const defaultFunctionTimeout = 5 * time.Second

// Options configures a Manager. Nil or the zero value is good. For numbers and
// durations 0 is the default, -1 switches the limit off, and NewManager fails on
// other negative values.
type Options struct {
	// Store keeps the histories. Default: a new replay.Memory with its default
	// bounds. The manager does not close a store that it was given.
	Store replay.Store
	// Kinds are the named sets of functions that CreateKind and the ShareData in
	// the store refer to. Default: none.
	Kinds []Kind
	// Resolver decides which function a proposal's FunctionID means. Default:
	// ResolveByID. ResolveNone switches proposing by id off.
	Resolver Resolver
	// ProofVerifier verifies the proofs of proposals. Default: none; proofs are
	// ignored. Package sharedata/proof has one for signatures.
	ProofVerifier ProofVerifier
	// RequireProof says whether proposals to a function of a ShareData need a
	// proof, besides the functions that require one themselves
	// (Function.WithRequiredProof). It is asked about proposals that name their
	// function by its id, as all from clients do, and not about those of the service
	// with Proposal.Function. It is called for every such proposal, from any number of
	// goroutines, and should return at once; what it answers is in
	// FunctionInfo too. It needs a ProofVerifier. Default: nil, no others.
	RequireProof func(shareDataID, functionID string) bool
	// FunctionTimeout is the deadline of functions that set none of their own.
	// Default: 5 s. With -1, a run whose proposer gives up is left behind and goes on;
	// once 16 are, further calls of the function fail with ErrFunctionStuck.
	FunctionTimeout time.Duration
	// StoreTimeout bounds each call of the store, so that a medium that hangs
	// fails proposals instead of holding them. Default: 10 s.
	StoreTimeout time.Duration
	// MaxBatch is the largest number of changes that one append commits. An append
	// also takes no more once its records and states have reached 8 MiB.
	// Default: 512.
	MaxBatch int
	// MaxBatchTime is how long functions may run before what they have decided is
	// committed, even if more changes wait. Default: 10 ms.
	MaxBatchTime time.Duration
	// MaxWaiting is the largest number of changes that may wait for one
	// ShareData; further ones fail with ErrBusy. Default: 16,384.
	MaxWaiting int
	// MaxLoadedBytes is how much memory loaded ShareData may take, in bytes, as
	// far as they can be unloaded: states count, and about 1 KiB for each.
	// Beyond that, those that were idle for longest and that nobody observes are
	// left to the store, and loaded again when they are needed. A Memory keeps
	// what it holds in memory all the same. Default: 256 MiB.
	MaxLoadedBytes int
	// RecentEntries is how many of the newest entries are kept in memory of each
	// ShareData that is observed, where other processes append to the store (a
	// replay.Follower): History reads those without asking the store, so that
	// subscribers are replayed what they missed also while the store cannot be
	// reached. Proposed data and proofs of up to 256 KiB are kept. Default: 128.
	RecentEntries int
	// Logger gets panics of functions and observers with their stacks, runs
	// left behind, and failures of the store. Default: none, nothing is logged.
	Logger *slog.Logger
}

func (o *Options) withDefaults() (Options, error) {
	var c Options
	if o != nil {
		c = *o
	}
	if c.Store == nil {
		memory, err := replay.NewMemory(nil)
		if err != nil {
			return c, err
		}
		c.Store = memory
	}
	if c.RequireProof != nil && c.ProofVerifier == nil {
		return c, errors.New("sharedata: Options.RequireProof is set; set Options.ProofVerifier too")
	}
	if c.Resolver == nil {
		c.Resolver = ResolveByID
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	for _, err := range []error{
		option.Fill("sharedata: Options.FunctionTimeout", &c.FunctionTimeout, defaultFunctionTimeout, -1),
		option.Fill("sharedata: Options.StoreTimeout", &c.StoreTimeout, 10*time.Second, -1),
		option.Fill("sharedata: Options.MaxBatch", &c.MaxBatch, 512, -1),
		option.Fill("sharedata: Options.MaxBatchTime", &c.MaxBatchTime, 10*time.Millisecond, -1),
		option.Fill("sharedata: Options.MaxWaiting", &c.MaxWaiting, 16384, -1),
		option.Fill("sharedata: Options.MaxLoadedBytes", &c.MaxLoadedBytes, 256<<20, -1),
		option.Fill("sharedata: Options.RecentEntries", &c.RecentEntries, 128, -1),
	} {
		if err != nil {
			return c, err
		}
	}
	return c, nil
}
