package realtime_test

import (
	"context"
	"fmt"
	"sync"
	"testing"

	"github.com/coder/websocket"

	"github.com/safe-go/safe/internal/wire"
	"github.com/safe-go/safe/replay"
	"github.com/safe-go/safe/schemas/codes"
	"github.com/safe-go/safe/sharedata"
)

// Subscribers come and go while the ShareData is removed and re-created. No frame
// may be outside of a subscription, and revisions have no gap and no repeat.
func TestChurn(t *testing.T) {
	ts := serve(t, nil)
	const rounds, peers = 30, 8
	stop := make(chan struct{})
	var followers, changes sync.WaitGroup
	ts.create("c")
	changes.Go(func() {
		ctx := context.Background()
		for {
			for range 20 {
				ts.manager.Propose(ctx, sharedata.Proposal{ShareDataID: "c", FunctionID: "add", Data: step{By: 1}})
			}
			select {
			case <-stop:
				return
			default:
			}
			ts.manager.Remove(ctx, "c")
			ts.manager.Create(ctx, "c", counter{}, add)
		}
	})
	for range peers {
		p := ts.dial()
		p.unchecked = true
		followers.Go(func() {
			for range rounds {
				err := follow(p, "c")
				if websocket.CloseStatus(err) == codes.CloseUnknownShareData {
					// It was subscribed to between a removal and a creation.
					conn, _, dialErr := ts.tryDial(nil)
					if dialErr != nil {
						t.Error(dialErr)
						return
					}
					p, err = &peer{T: t, conn: conn, unchecked: true}, nil
				}
				if err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	followers.Wait()
	close(stop)
	changes.Wait()
	ts.server.Close()
	if n := ts.server.Channels(); n != 0 {
		t.Errorf("%d channels outlive their subscribers", n)
	}
}

// follow subscribes and checks what comes until the ShareData is removed or
// some frames have come.
func follow(p *peer, id string) error {
	ctx, cancel := context.WithTimeout(context.Background(), testTimeout)
	defer cancel()
	if err := p.conn.Write(ctx, 1, fmt.Appendf(nil, `{"v":1,"type":"subscribe","shareDataId":%q}`, id)); err != nil {
		return err
	}
	// Frames of the previous subscription may still come, then the state.
	var at replay.Cursor
	for range 60 {
		m, err := p.next()
		if err != nil {
			return err
		}
		switch m := m.(type) {
		case *wire.State:
			at, err = replay.ParseCursor(m.Cursor)
			if err != nil {
				return err
			}
		case *wire.Transaction:
			if at.IsZero() {
				continue
			}
			if m.TransactionID != at.Next().String() {
				return fmt.Errorf("%s came after %s", m.TransactionID, at)
			}
			at = at.Next()
		case *wire.Lifecycle:
			if at.IsZero() {
				continue
			}
			if m.Cursor != at.Next().String() {
				return fmt.Errorf("%s came after %s", m.Cursor, at)
			}
			return nil
		case *wire.Error:
			if m.Code != codes.UnknownShareData {
				return fmt.Errorf("got %s", m.AppendTo(nil))
			}
		}
	}
	return nil
}
