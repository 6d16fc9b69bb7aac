package auth

import (
	"context"
	"encoding/json"
	"errors"
	"slices"
	"strings"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/safe-go/safe/realtime"
	"github.com/safe-go/safe/sharedata"
)

// Request is what a caller asks for: to subscribe to a ShareData, or to run a function of
// it.
type Request struct {
	ShareDataID string
	// FunctionID is the function of a proposal; empty for a subscription.
	FunctionID string
}

// Authorizer says whether a caller may have what it asks for; an error is a refusal. It is
// called from any number of goroutines. Its methods are the hooks for realtime.Options. The
// authorizers of this package refuse a nil caller, their errors are ErrRefused.
type Authorizer func(ctx context.Context, caller *sharedata.Caller, request Request) error

// Subscribe is a hook for realtime.Options.AuthorizeSubscribe.
func (a Authorizer) Subscribe(ctx context.Context, caller *sharedata.Caller, shareDataID string) error {
	return a(ctx, caller, Request{ShareDataID: shareDataID})
}

// Propose is a hook for realtime.Options.AuthorizePropose.
func (a Authorizer) Propose(ctx context.Context, caller *sharedata.Caller, shareDataID, functionID string) error {
	return a(ctx, caller, Request{ShareDataID: shareDataID, FunctionID: functionID})
}

// ForAudience allows callers whose token is for the audience, maybe among others.
func ForAudience(audience string) Authorizer {
	return func(_ context.Context, caller *sharedata.Caller, _ Request) error {
		if caller == nil || !slices.Contains(caller.Audience, audience) {
			return refused("the caller's token is not for the audience %.60q", audience)
		}
		return nil
	}
}

// HasClaim allows callers with a claim that is the value, or a list that contains it:
// HasClaim("admin", true), HasClaim("roles", "editor"). The types must be the same, the
// string "true" is not the value true.
func HasClaim[T string | bool](name string, value T) Authorizer {
	return func(_ context.Context, caller *sharedata.Caller, _ Request) error {
		if one, found, err := Claim[*T](caller, name); found && err == nil && one != nil && *one == value {
			return nil
		}
		if list, _, err := Claim[[]any](caller, name); err == nil && slices.Contains(list, any(value)) {
			return nil
		}
		return refused("the caller has no claim %q that is or contains %v", name, value)
	}
}

// ChannelsOptions configures Channels. Nil or the zero value is good.
type ChannelsOptions struct {
	// Claim is the name of the claim. Default: "channels".
	Claim string
	// DenyIfEmpty denies everything if the list is empty or missing. Default: both
	// allow everything.
	DenyIfEmpty bool
}

// Channels allows what the caller's token lists in a claim: an array of strings, each the id
// of a ShareData, or, if it ends with "*", the beginning of ids; "*" alone is every id.
// The functions of a ShareData are allowed with it. A token without the claim is allowed
// everything, unless DenyIfEmpty is set. A claim of another type allows
// nothing. If Options.RecordedClaims is set, it must contain the claim, because an
// authorizer sees no other ones.
func Channels(options *ChannelsOptions) Authorizer {
	o := ChannelsOptions{}
	if options != nil {
		o = *options
	}
	if o.Claim == "" {
		o.Claim = "channels"
	}
	return func(_ context.Context, caller *sharedata.Caller, request Request) error {
		if caller == nil {
			return refused("there is no caller")
		}
		channels, err := channelsOf(caller, o.Claim)
		if err != nil {
			return err
		}
		if len(channels) == 0 && !o.DenyIfEmpty || slices.ContainsFunc(channels, func(c string) bool { return patternMatches(c, request.ShareDataID) }) {
			return nil
		}
		return refused("the caller's claim %q does not list the ShareData %.60q", o.Claim, request.ShareDataID)
	}
}

func channelsOf(caller *sharedata.Caller, claim string) ([]string, error) {
	raw, found, err := Claim[json.RawMessage](caller, claim)
	if err != nil {
		return nil, refused("%w", err)
	}
	if !found {
		return nil, nil
	}
	channels, ok := stringList(jsontext.Value(raw))
	if !ok {
		return nil, refused("the caller's claim %q is not a list of strings", claim)
	}
	return channels, nil
}

func patternMatches(pattern, id string) bool {
	if prefix, isPrefix := strings.CutSuffix(pattern, "*"); isPrefix {
		return strings.HasPrefix(id, prefix)
	}
	return pattern == id
}

// AllOf allows what each of the authorizers allows; without any, everything. They are asked
// in order up to the first refusal.
func AllOf(authorizers ...Authorizer) Authorizer {
	authorizers = slices.Clone(authorizers)
	return func(ctx context.Context, caller *sharedata.Caller, request Request) error {
		for _, authorizer := range authorizers {
			if err := authorizer.ask(ctx, caller, request); err != nil {
				return err
			}
		}
		return nil
	}
}

// AnyOf allows what at least one of the authorizers allows; without any, nothing. They are
// asked in order up to the first that allows, or that returns realtime.ErrExpired, which
// is returned. Otherwise the error has those of all.
func AnyOf(authorizers ...Authorizer) Authorizer {
	authorizers = slices.Clone(authorizers)
	return func(ctx context.Context, caller *sharedata.Caller, request Request) error {
		refusals := []error{refused("no authorizer allows it")}
		for _, authorizer := range authorizers {
			err := authorizer.ask(ctx, caller, request)
			if err == nil || errors.Is(err, realtime.ErrExpired) {
				return err
			}
			refusals = append(refusals, err)
		}
		return errors.Join(refusals...)
	}
}

// ask is a call in which a nil authorizer refuses.
func (a Authorizer) ask(ctx context.Context, caller *sharedata.Caller, request Request) error {
	if a == nil {
		return refused("an authorizer is nil")
	}
	return a(ctx, caller, request)
}
