package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/url"
	"sync"
	"sync/atomic"
	"time"

	"github.com/safe-go/safe/replay"
)

const (
	firstBackoff = 100 * time.Millisecond
	maxBackoff   = 5 * time.Second
)

// frames is a subscribed connection, whatever its transport.
type frames interface {
	// next returns the next frame. It is valid until the next call.
	next() ([]byte, error)
	io.Closer
}

// subscriber follows one ShareData over a connection of its own. It reconnects with the
// cursor of what it has seen, and checks that it misses nothing.
type subscriber struct {
	run        *run
	number     int
	id         string
	stalls     bool // it stops reading when the measurement begins
	deliveries atomic.Int64
	ready      sync.Once // the first state came, or will never come

	mu         sync.Mutex
	sequence   sequence
	subscribed bool   // the connection is there and its state came
	ended      bool   // it does not try again
	replayEnd  uint64 // the last revision that is replayed to it
}

// follow returns when ctx ends or there is no point in trying again.
func (s *subscriber) follow(ctx context.Context) {
	defer s.ready.Do(s.run.ready.Done)
	defer s.giveUp()
	backoff := firstBackoff
	for {
		err := s.connect(ctx, &backoff)
		s.mu.Lock()
		s.subscribed = false
		s.mu.Unlock()
		if ctx.Err() != nil {
			return
		}
		s.run.errors.add(err)
		var failed *failure
		if errors.As(err, &failed) && failed.final || !wait(ctx, rand.N(backoff)) {
			return
		}
		backoff = min(2*backoff, maxBackoff)
	}
}

// connect subscribes and reads until the connection ends.
func (s *subscriber) connect(ctx context.Context, backoff *time.Duration) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	connection, err := s.subscribe(ctx)
	if err != nil {
		return err
	}
	defer connection.Close()
	if !s.sequence.at.IsZero() {
		s.run.reconnects.Add(1)
	}
	for {
		if s.stalls && s.run.isMeasuring() {
			s.giveUp()
			<-ctx.Done()
			return ctx.Err()
		}
		frame, err := connection.next()
		if err == nil {
			err = s.receive(frame)
		}
		if err != nil {
			return err
		}
		*backoff = firstBackoff
	}
}

// giveUp has nobody wait for what the subscriber has not received.
func (s *subscriber) giveUp() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.ended, s.subscribed = true, false
}

func (s *subscriber) subscribe(ctx context.Context) (frames, error) {
	since := ""
	if !s.sequence.at.IsZero() {
		since = s.sequence.at.String()
	}
	c := s.run.config
	if c.transport == "sse" {
		query := url.Values{"shareDataId": {s.id}}
		if since != "" {
			query.Set("since", since)
		}
		if c.patches {
			query.Set("patches", "true")
		}
		return s.run.endpoint.openEvents(ctx, s.number, query)
	}
	socket, err := s.run.endpoint.openWebSocket(ctx, s.number)
	if err != nil {
		return nil, err
	}
	request := map[string]any{"v": 1, "type": "subscribe", "shareDataId": s.id, "replayLifecycle": true, "keepConnection": true}
	if since != "" {
		request["since"] = since
	}
	if c.patches {
		request["patches"] = true
	}
	encoded, err := json.Marshal(request)
	if err == nil {
		err = socket.write(opText, encoded)
	}
	return socket, err
}

// receive takes one frame. An error ends the connection.
func (s *subscriber) receive(frame []byte) error {
	switch string(text(first(frame, `"type":"`))) {
	case "state":
		snapshot := cursor(last(frame, `"cursor":"`))
		replaying := number(last(frame, `"replaying":`))
		s.mu.Lock()
		s.sequence.begin(replay.Cursor{Epoch: snapshot.Epoch, Revision: snapshot.Revision - replaying})
		s.subscribed, s.replayEnd = true, snapshot.Revision
		s.mu.Unlock()
		s.ready.Do(s.run.ready.Done)
	case "transaction":
		if s.deliver(cursor(first(frame, `"transactionId":"`))) {
			s.run.measureDelivery(sentAt(frame))
		}
	case "lifecycle":
		if string(text(first(frame, `"event":"`))) == "removed" {
			return &failure{code: "removed", final: true}
		}
		s.deliver(cursor(last(frame, `"cursor":"`)))
	case "error":
		code := string(text(first(frame, `"code":"`)))
		failed := &failure{code: code, cause: fmt.Errorf("%s: %.200s", s.id, frame)}
		switch code {
		case "replay-cursor-not-found": // the state before it was a gap, and live frames follow
			s.run.errors.add(failed)
			return nil
		case "unknown-share-data", "unauthorized-subscribe":
			failed.final = true
		}
		return failed
	case "close": // an event stream cannot have a close frame
		return closeFailure(int(number(first(frame, `"code":`))), string(frame))
	}
	return nil
}

// deliver checks the position of an entry, and reports whether it is live, not replayed.
func (s *subscriber) deliver(at replay.Cursor) bool {
	s.deliveries.Add(1)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.sequence.observe(at)
	return at.Revision > s.replayEnd
}

// reached reports whether nothing up to last is still to come. A subscriber that is
// reconnecting is waited for, one that gave up is not.
func (s *subscriber) reached(last replay.Cursor) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.ended || s.sequence.reached(last)
}

// finish counts what a connected subscriber has not received up to last as lost.
func (s *subscriber) finish(last replay.Cursor) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.subscribed {
		s.sequence.end(last)
	}
}

// wait returns after the time, or with false when ctx ends.
func wait(ctx context.Context, duration time.Duration) bool {
	timer := time.NewTimer(duration)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}
