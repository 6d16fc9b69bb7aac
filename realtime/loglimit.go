package realtime

import (
	"context"
	"log/slog"
	"sync"
	"time"
)

// logInterval is the shortest time between two lines with the same message at
// Warn or above.
const logInterval = time.Second

// rateLimitedHandler is a slog.Handler that keeps peers from flooding the log:
// what a peer can cause at will, it can cause at any rate. Lines at Warn and
// above pass once per logInterval and message; the next one that passes has the
// number of those that did not in the attribute "suppressed". Loggers derived
// with attributes or groups are not limited; this package derives none.
type rateLimitedHandler struct {
	slog.Handler

	mu sync.Mutex
	// lines are by message. Messages are constants of this package, so the map
	// does not grow with what peers send.
	lines map[string]*limitedLine
}

type limitedLine struct {
	last       time.Time
	suppressed int
}

func newRateLimitedHandler(next slog.Handler) *rateLimitedHandler {
	return &rateLimitedHandler{Handler: next, lines: make(map[string]*limitedLine)}
}

// Handle implements slog.Handler.
func (h *rateLimitedHandler) Handle(ctx context.Context, record slog.Record) error {
	if record.Level < slog.LevelWarn {
		return h.Handler.Handle(ctx, record)
	}
	suppressed, ok := h.pass(record.Message, record.Time)
	if !ok {
		return nil
	}
	if suppressed > 0 {
		record.AddAttrs(slog.Int("suppressed", suppressed))
	}
	return h.Handler.Handle(ctx, record)
}

// pass reports whether a line may be written now, and how many of its message
// were suppressed since the last one.
func (h *rateLimitedHandler) pass(message string, now time.Time) (suppressed int, ok bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	line := h.lines[message]
	if line == nil {
		line = &limitedLine{}
		h.lines[message] = line
	} else if now.Sub(line.last) < logInterval {
		line.suppressed++
		return 0, false
	}
	suppressed, line.suppressed, line.last = line.suppressed, 0, now
	return suppressed, true
}
