package realtime

import (
	"fmt"
	"maps"
	"net/http"
	"sync"
	"time"

	"golang.org/x/time/rate"

	"github.com/safe-go/safe/internal/wire"
	"github.com/safe-go/safe/schemas/codes"
)

// messageLimiter decides about every message and every ping and pong of one
// connection. The reader alone uses it.
//
// It has two token buckets of the same rate. A message takes a token from the
// first, or is over the limit. One over the limit takes a token from the second
// and is refused with a reply; if that is empty too, the connection is closed. So
// a peer may send twice as much as the limit, half of which is refused, and the
// replies are bounded by the limit as well.
//
// Both are nil until they are needed.
type messageLimiter struct {
	accepted *rate.Limiter
	refused  *rate.Limiter
}

// minRefusedBurst is how many messages over the limit, one after the other, never
// close a connection: more than a client that cannot know the limit has in flight.
const minRefusedBurst = 256

// take counts a message. retryAfter is 0 for one within the limit; one over it is
// to be sent again after that time. Of several that are refused, each gets a later
// time than the one before, so that they do not all return at once.
// flooded says that the connection is to be closed.
func (l *messageLimiter) take(o *Options, now time.Time) (retryAfter time.Duration, flooded bool) {
	if o.MessagesPerSecond == unlimited {
		return 0, false
	}
	if l.accepted == nil {
		l.accepted = rate.NewLimiter(rate.Limit(o.MessagesPerSecond), o.MessageBurst)
	}
	if l.accepted.AllowN(now, 1) {
		return 0, false
	}
	if l.refused == nil {
		l.refused = rate.NewLimiter(l.accepted.Limit(), max(l.accepted.Burst(), minRefusedBurst))
	}
	if !l.refused.AllowN(now, 1) {
		return 0, true
	}
	ahead := float64(l.refused.Burst()) - l.refused.TokensAt(now)
	wait := time.Duration(ahead / float64(l.refused.Limit()) * float64(time.Second))
	return max(wait, time.Millisecond), false
}

// allowControlFrame counts a ping or pong, closes a flooding connection, and reports
// whether to process the frame.
func (s *session) allowControlFrame() bool {
	retryAfter, flooded := s.limiter.take(&s.server.options, time.Now())
	if flooded {
		s.closeFlooded()
	}
	return retryAfter == 0 && !flooded
}

// receivePing has a ping answered. The payload is copied.
func (s *session) receivePing(payload []byte) {
	if s.allowControlFrame() {
		s.out.sendPong(payload)
	}
}

// floodCloseTimeout is how long a peer that has sent too much has to read the close
// frame. What it sends meanwhile is read and dropped, which costs something.
const floodCloseTimeout = 5 * time.Second

func (s *session) closeFlooded() {
	if !s.close(codes.ClosePolicyViolation, "far more messages than the server accepts; send fewer, and wait for retryAfterMs") {
		return
	}
	s.server.log.Warn("connection closed: it sent far more messages than realtime.Options.MessagesPerSecond", "connection", s.name)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closeTimer.Reset(min(floodCloseTimeout, s.server.options.closeTimeout()))
}

// refuseRateLimited replies to a message over the limit. An unsubscribe has no reply
// by which its sender would know that it was refused, so it is carried out.
func (s *session) refuseRateLimited(message wire.ClientMessage, retryAfter time.Duration) {
	f := failure{
		code: codes.RateLimited, retryAfter: retryAfter,
		text: fmt.Sprintf("limit: more than %d messages per second; send it again after retryAfterMs", s.server.options.MessagesPerSecond),
	}
	switch m := message.(type) {
	case *wire.Propose:
		s.out.send(f.frame(m.CorrelationID))
	case *wire.Subscribe:
		s.out.send(f.errorFrame(m.ShareDataID))
	case *wire.Unsubscribe:
		s.enqueueRequest(m.ShareDataID, "", m)
	case *wire.Ping:
		s.out.send(f.correlatedErrorFrame(m.CorrelationID))
	case *wire.Authenticate:
		s.out.send(f.correlatedErrorFrame(m.CorrelationID))
	}
}

// requestLimits counts the requests over HTTP of each requester, as messageLimiter does
// the messages of a connection.
type requestLimits struct {
	mu       sync.Mutex
	limiters map[string]*requestLimiter
	swept    time.Time // when old ones were looked for
}

type requestLimiter struct {
	messageLimiter
	last time.Time
}

// Limiters that have not been used for a while are as good as new ones.
const (
	maxRequestLimiters   = 1024 // before old ones are looked for
	requestLimiterExpiry = 10 * time.Second
)

// take counts a request, and returns after which time it may be sent again, if there
// are too many.
func (l *requestLimits) take(o *Options, requester string, now time.Time) (retryAfter time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	limiter := l.limiters[requester]
	if limiter == nil {
		if len(l.limiters) >= maxRequestLimiters && now.Sub(l.swept) > time.Second {
			l.swept = now
			maps.DeleteFunc(l.limiters, func(_ string, l *requestLimiter) bool { return now.Sub(l.last) > requestLimiterExpiry })
		}
		if l.limiters == nil {
			l.limiters = make(map[string]*requestLimiter)
		}
		limiter = &requestLimiter{}
		l.limiters[requester] = limiter
	}
	limiter.last = now
	retryAfter, flooded := limiter.take(o, now)
	if flooded {
		retryAfter = time.Second
	}
	return retryAfter
}

// countRequest counts a request; if there are too many, p is the response.
func (s *Server) countRequest(pending *pendingConnection) (p problem, ok bool) {
	retryAfter := s.requests.take(&s.options, requester(&pending.info), time.Now())
	if retryAfter == 0 {
		return problem{}, true
	}
	text := fmt.Sprintf("limit: more than %d requests per second; send it again after retryAfterMs", s.options.MessagesPerSecond)
	return newProblem(http.StatusTooManyRequests, codes.RateLimited, text).after(retryAfter), false
}
