package client

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/safe-go/safe/internal/wire"
)

// ErrNotSubscribed: a Prover needs the current position, and the client has no
// subscription that supplies it. Subscribe to the ShareData first.
var ErrNotSubscribed = errors.New("not subscribed to the ShareData")

// Prover makes a proof, which is marshalled like Proposal.Data. It is called on the
// goroutine of ProposeWith, before the first attempt of a proposal and again for each
// attempt at another position, so it may be called often where many propose. Its
// context ends when the time of the call is up. An error ends the call. Package
// client/proof has a Prover that signs.
type Prover func(ctx context.Context, input ProofInput) (any, error)

// ProofInput is what a proof is for. The Data must not be changed.
type ProofInput struct {
	ShareDataID string
	FunctionID  string
	// Data is the proposed data as JSON.
	Data json.RawMessage
	// Position is the cursor of the entry that the transaction is to follow.
	Position string
	// StateHash is the SHA-256 of the state at the Position, as the server sent it, in
	// lower-case hexadecimal.
	StateHash string
}

// head is where the server has said that a ShareData stands. It is immutable.
type head struct {
	cursor string
	state  *lazyState
	proven *provenState // of the round
}

// hash returns the hash of the state, or a *stateError.
func (h *head) hash() (string, error) { return h.proven.hashOf(h.state) }

func (u *catchUp) setHead(cursor string, state *lazyState) {
	proven := &provenState{}
	if u.head != nil {
		proven = u.head.proven
	}
	u.head = &head{cursor, state, proven}
}

// moveHead follows the frames that are about the present: the snapshot of the round
// and live frames. A rejected transaction moves the position, and not the state. With
// patches, the state at the present is known when the replay has ended.
func (u *catchUp) moveHead(frame wire.ServerMessage) {
	if u.patched {
		if u.phase == live && u.position.state != nil {
			u.setHead(u.position.cursor, u.position.state)
		}
		return
	}
	if snapshot, ok := frame.(*wire.State); ok && u.phase != idle {
		u.setHead(snapshot.Cursor, wholeState(snapshot.CurrentState, ""))
		return
	}
	if u.head == nil || isReplayed(frame) {
		return
	}
	state := u.head.state
	switch frame := frame.(type) {
	case *wire.Transaction:
		if frame.CurrentState != nil {
			state = wholeState(frame.CurrentState, "")
		}
		u.setHead(frame.TransactionID, state)
	case *wire.Lifecycle:
		u.setHead(frame.Cursor, wholeState(frame.CurrentState, ""))
	}
}

// notifyProversLocked wakes the calls that wait for the head of the subscription.
func (s *Subscription) notifyProversLocked() {
	if s.headMoved != nil {
		close(s.headMoved)
		s.headMoved = nil
	}
}

var errNoPosition = errors.New("the server sends no cursors, so that nothing can be proven to it")

// waitForHead waits until the head of the ShareData is known and not at the cursor
// notAt, which is empty for any head.
func (c *Client) waitForHead(ctx context.Context, shareDataID, notAt string) (*head, error) {
	var last *Subscription
	for {
		c.mu.Lock()
		s := c.subscriptions[shareDataID]
		if s == nil {
			defer c.mu.Unlock()
			return nil, c.notSubscribedLocked(shareDataID, last)
		}
		last = s
		at := s.catchUp.head
		if at != nil && (at.cursor != notAt || at.cursor == "") {
			c.mu.Unlock()
			if at.cursor == "" {
				return nil, errNoPosition
			}
			return at, nil
		}
		if s.headMoved == nil {
			s.headMoved = make(chan struct{})
		}
		moved := s.headMoved
		c.mu.Unlock()
		select {
		case <-moved:
		case <-ctx.Done():
			return nil, endOf(ctx)
		}
	}
}

// rejectHead begins the subscription again, because the state at its head must not be
// used.
func (c *Client) rejectHead(shareDataID string, at *head, failure error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if s := c.subscriptions[shareDataID]; s != nil && s.catchUp.head == at {
		s.rejectStateLocked(failure)
	}
}

// notSubscribedLocked says why there is no subscription. last is the one that there
// was; nil for none.
func (c *Client) notSubscribedLocked(shareDataID string, last *Subscription) error {
	switch {
	case c.stopErr != nil:
		return c.stopErr
	case last != nil && last.err != nil:
		return fmt.Errorf("%w, %.60q: its subscription has ended: %w", ErrNotSubscribed, shareDataID, last.err)
	}
	return fmt.Errorf("%w, %.60q: a proof is for its position, so subscribe to it first and range over the events", ErrNotSubscribed, shareDataID)
}

// proofMaker makes the proofs of one proposal. The goroutine of ProposeWith owns it.
type proofMaker struct {
	prove    Prover
	proposal wire.Propose
	// position is that of the proof in the call's frame; empty before the first.
	position string
}

// prove gives the call a frame with a proof for the current position, unless it has
// one. If stale is set, the server refused the proof's position as outdated; prove
// waits for a later head. It does nothing for calls without a Prover.
func (c *Client) prove(ctx context.Context, request *call, stale bool) error {
	p := request.proofMaker
	if p == nil {
		return nil
	}
	outdated := ""
	if stale {
		outdated = p.position
	}
	for {
		at, err := c.waitForHead(ctx, p.proposal.ShareDataID, outdated)
		if err != nil {
			return err
		}
		if at.cursor == p.position {
			return nil
		}
		hash, err := at.hash()
		if err == nil {
			return c.proveAt(ctx, request, at.cursor, hash)
		}
		c.rejectHead(p.proposal.ShareDataID, at, err)
	}
}

// proveAt gives the call a frame with a proof for the position.
func (c *Client) proveAt(ctx context.Context, request *call, position, stateHash string) error {
	p := request.proofMaker
	proof, err := p.prove(ctx, ProofInput{
		ShareDataID: p.proposal.ShareDataID, FunctionID: p.proposal.FunctionID, Data: p.proposal.ProposedData,
		Position: position, StateHash: stateHash,
	})
	if err != nil {
		return fmt.Errorf("the proof was not made: %w", err)
	}
	proposal := p.proposal
	if proposal.Proof, err = json.Marshal(proof); err != nil {
		return fmt.Errorf("%w: proof: %w", ErrInvalid, err)
	}
	frame, err := checkedFrame(&proposal)
	if err != nil {
		return fmt.Errorf("%w: proof: %w", ErrInvalid, err)
	}
	p.position = position
	c.mu.Lock()
	defer c.mu.Unlock()
	request.setFrame(frame)
	return nil
}
