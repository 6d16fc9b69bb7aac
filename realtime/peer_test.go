package realtime_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/coder/websocket"

	"github.com/safe-go/safe/internal/wire"
	"github.com/safe-go/safe/schemas"
)

// peer is a raw client.
type peer struct {
	*testing.T
	conn *websocket.Conn
	// unchecked peers do not validate frames by the schemas, which takes most of
	// the time where there are many.
	unchecked bool
}

// send sends a text message.
func (p *peer) send(format string, values ...any) {
	p.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), testTimeout)
	defer cancel()
	if err := p.conn.Write(ctx, websocket.MessageText, fmt.Appendf(nil, format, values...)); err != nil {
		p.Fatal("write:", err)
	}
}

func (p *peer) subscribe(id, since string) {
	p.Helper()
	if since != "" {
		since = `,"replayLifecycle":true,"since":"` + since + `"`
	}
	p.send(`{"v":1,"type":"subscribe","shareDataId":"%s"%s}`, id, since)
}

func (p *peer) propose(id, function, data, correlation string) {
	p.Helper()
	p.send(`{"v":1,"type":"propose","shareDataId":"%s","functionId":"%s","proposedData":%s,"correlationId":"%s"}`, id, function, data, correlation)
}

func (p *peer) ping(correlation string) {
	p.Helper()
	p.send(`{"v":1,"type":"ping","correlationId":"%s"}`, correlation)
}

// next reads one message.
func (p *peer) next() (wire.ServerMessage, error) {
	ctx, cancel := context.WithTimeout(context.Background(), testTimeout)
	defer cancel()
	kind, data, err := p.conn.Read(ctx)
	if err != nil {
		return nil, err
	}
	if kind != websocket.MessageText {
		return nil, errors.New("not a text message")
	}
	if !p.unchecked {
		if err := valid(data); err != nil {
			return nil, err
		}
	}
	return wire.DecodeServer(data, wire.Limits{})
}

// nextText reads one message as it is.
func (p *peer) nextText() string {
	p.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), testTimeout)
	defer cancel()
	_, data, err := p.conn.Read(ctx)
	if err != nil {
		p.Fatal(err)
	}
	if err := valid(data); err != nil {
		p.Fatal(err)
	}
	return string(data)
}

var validator = sync.OnceValues(schemas.New)

// valid validates a frame by the published schemas.
func valid(data []byte) error {
	v, err := validator()
	if err != nil || len(data) > schemas.MaxBytes {
		return err
	}
	return v.ExplainServer(data)
}

// readOn reads until the connection ends. The library answers pings meanwhile.
func (p *peer) readOn() {
	for {
		if _, _, err := p.conn.Read(context.Background()); err != nil {
			return
		}
	}
}

// want reads one message of type M.
func want[M wire.ServerMessage](p *peer) M {
	p.Helper()
	message, err := p.next()
	if err != nil {
		p.Fatalf("want a %T, got %v", *new(M), err)
	}
	m, ok := message.(M)
	if !ok {
		p.Fatalf("want a %T, got %s", *new(M), message.AppendTo(nil))
	}
	return m
}

// wantError reads an error frame.
func (p *peer) wantError(code, id string) *wire.Error {
	p.Helper()
	e := want[*wire.Error](p)
	if e.Code != code || e.ShareDataID != id {
		p.Fatalf("want error %q about %q, got %q about %q: %s", code, id, e.Code, e.ShareDataID, e.Message)
	}
	return e
}

// wantPong checks that nothing comes before the pong to a ping.
func (p *peer) wantPong(correlation string) {
	p.Helper()
	p.ping(correlation)
	if m := want[*wire.Pong](p); m.CorrelationID != correlation {
		p.Fatalf("want pong %q, got %q", correlation, m.CorrelationID)
	}
}

// wantClose reads the end of the connection.
func (p *peer) wantClose(code websocket.StatusCode) {
	p.Helper()
	message, err := p.next()
	if err == nil {
		p.Fatalf("want close %d, got %s", code, message.AppendTo(nil))
	}
	if got := websocket.CloseStatus(err); got != code {
		p.Fatalf("want close %d, got %v", code, err)
	}
}

// join subscribes and reads the state.
func (p *peer) join(id, since string) *wire.State {
	p.Helper()
	p.subscribe(id, since)
	state := want[*wire.State](p)
	if state.ShareDataID != id {
		p.Fatalf("want the state of %q, got that of %q", id, state.ShareDataID)
	}
	return state
}

// wantTransactions reads live transactions with consecutive revisions.
func (p *peer) wantTransactions(from, to uint64) {
	p.Helper()
	for revision := from; revision <= to; revision++ {
		m := want[*wire.Transaction](p)
		if m.Revision != revision || m.Replayed || m.CurrentState == nil {
			p.Fatalf("want live transaction %d, got %s", revision, m.AppendTo(nil))
		}
	}
}

// wantReplayed reads replayed transactions with consecutive revisions.
func (p *peer) wantReplayed(from, to uint64) {
	p.Helper()
	for revision := from; revision <= to; revision++ {
		m := want[*wire.Transaction](p)
		if m.Revision != revision || !m.Replayed || m.CurrentState != nil {
			p.Fatalf("want replayed transaction %d, got %s", revision, m.AppendTo(nil))
		}
	}
}

func quoted(n int) string { return `"` + strings.Repeat("x", n-2) + `"` }

func must(p *peer) wire.ServerMessage {
	p.Helper()
	message, err := p.next()
	if err != nil {
		p.Fatal(err)
	}
	return message
}
