package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"strconv"
	"sync"
	"time"
)

// maxReply bounds how much is read of the reply to a POST.
const maxReply = 1 << 20

// proposer makes proposals to all ShareData in turn, with a bounded number in flight, and
// at a fixed rate if it has an interval. A proposal that could not leave when it was due
// counts its latency from then, so that a server that stalls is not measured less often.
type proposer struct {
	run      *run
	number   int
	interval time.Duration // 0: as soon as a reply makes room
	due      time.Time     // of the next proposal, if there is an interval
	made     int
	limit    int // -1: none

	slots chan struct{} // one in it for each proposal in flight
	frame []byte
}

// propose returns once ctx has ended or the limit is reached, and the proposals in flight
// have their replies. Its connections end with live.
func (p *proposer) propose(ctx, live context.Context) {
	if p.run.config.transport == "sse" {
		p.overHTTP(ctx, live)
		return
	}
	for backoff := firstBackoff; ; backoff = min(2*backoff, maxBackoff) {
		made := p.made
		err := p.overWebSocket(ctx, live)
		if err == nil || live.Err() != nil {
			return
		}
		p.run.errors.add(err)
		if p.made > made {
			backoff = firstBackoff
		}
		var failed *failure
		if errors.As(err, &failed) && failed.final || !wait(ctx, rand.N(backoff)) {
			return
		}
	}
}

func (p *proposer) overWebSocket(ctx, live context.Context) error {
	live, cancel := context.WithCancel(live)
	defer cancel()
	socket, err := p.run.endpoint.openWebSocket(live, p.number)
	if err != nil {
		return err
	}
	p.slots = make(chan struct{}, p.run.config.window)
	broken, stop := context.WithCancelCause(live)
	var reader sync.WaitGroup
	reader.Go(func() {
		for {
			frame, err := socket.next()
			if err != nil {
				stop(err)
				return
			}
			switch string(text(first(frame, `"type":"`))) {
			case "proposal-result":
				if p.run.settled(text(first(frame, `"correlationId":"`)), frame) {
					select {
					case <-p.slots:
					default: // a second reply
					}
				}
			case "error":
				p.run.errors.add(&failure{code: string(text(first(frame, `"code":"`))), cause: fmt.Errorf("%.200s", frame)})
			}
		}
	})
	p.pace(ctx, broken, func(proposal, _ []byte) {
		if err := socket.write(opText, proposal); err != nil {
			stop(err)
		}
	})
	p.drain(broken)
	err = context.Cause(broken)
	socket.Close()
	reader.Wait()
	return err
}

func (p *proposer) overHTTP(ctx, live context.Context) {
	p.slots = make(chan struct{}, p.run.config.window)
	p.pace(ctx, live, func(proposal, correlation []byte) {
		proposal, correlation = bytes.Clone(proposal), bytes.Clone(correlation)
		go func() {
			defer func() { <-p.slots }()
			response, err := p.run.endpoint.post(live, p.run.web, p.run.endpoint.url.JoinPath("propose").String(), proposal)
			if err != nil {
				p.run.errors.add(&failure{code: "post", cause: err})
				return
			}
			defer response.Body.Close()
			reply, err := io.ReadAll(io.LimitReader(response.Body, maxReply))
			if code := text(first(reply, `"code":"`)); response.StatusCode != http.StatusOK && len(code) == 0 || err != nil {
				p.run.errors.add(&failure{code: "http-" + strconv.Itoa(response.StatusCode), cause: err})
				return
			}
			p.run.settled(correlation, reply)
		}()
	})
	p.drain(live)
}

// pace makes proposals until ctx or broken ends or the limit is reached.
func (p *proposer) pace(ctx, broken context.Context, send func(proposal, correlation []byte)) {
	for ctx.Err() == nil && p.made != p.limit {
		sent := p.due
		if early := time.Until(sent); p.interval > 0 && early > 0 {
			if !wait(ctx, early) {
				return
			}
			sent = time.Now() // timers are a millisecond late: not the server's fault
		}
		select {
		case p.slots <- struct{}{}:
		case <-ctx.Done():
			return
		case <-broken.Done():
			return
		}
		if p.interval == 0 {
			sent = time.Now()
		}
		p.due = p.due.Add(p.interval)
		stamp := p.run.stamp(sent)
		index := (p.number + p.made) % len(p.run.ids)
		correlation := fmt.Appendf(nil, "%d.%d", stamp, index)
		p.frame = fmt.Appendf(p.frame[:0], `{"v":1,"type":"propose","shareDataId":%s,"functionId":%s,"proposedData":%s,"correlationId":"%s"}`,
			quoted(p.run.ids[index]), quoted(p.run.config.function), filled(p.run.config.data, stamp), correlation)
		p.made++
		send(p.frame, correlation)
	}
}

// drain waits for the replies to the proposals in flight, for a bounded time.
func (p *proposer) drain(broken context.Context) {
	limit := time.NewTimer(p.run.config.drain)
	defer limit.Stop()
	for free := range cap(p.slots) {
		select {
		case p.slots <- struct{}{}:
			continue
		case <-limit.C:
		case <-broken.Done():
		}
		for range len(p.slots) - free {
			p.run.errors.add(&failure{code: "no-reply"})
		}
		return
	}
}

// quoted is a string as JSON.
func quoted(s string) []byte {
	encoded, _ := json.Marshal(s) // strings never fail
	return encoded
}
