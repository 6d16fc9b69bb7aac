package realtime_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/safe-go/safe/internal/wire"
	"github.com/safe-go/safe/realtime"
	"github.com/safe-go/safe/schemas/codes"
	"github.com/safe-go/safe/sharedata"
)

// randomSubscriber subscribes to "c" again and again, each time with a new token.
type randomSubscriber struct {
	name   string
	random *rand.Rand
	mu     sync.Mutex
	token  string            // the present one
	last   map[string]uint64 // the newest revision that came with each token
}

// run returns when the context ends.
func (s *randomSubscriber) run(ctx context.Context, p *processes) {
	for n := 0; ctx.Err() == nil; n++ {
		token := fmt.Sprintf("%s-%d", s.name, n)
		p.tokens.issue(token, s.name, 0)
		s.mu.Lock()
		s.token = token
		s.mu.Unlock()
		ts := p.a
		if s.random.IntN(2) == 0 {
			ts = p.b
		}
		s.read(ctx, ts.dialToken(token), token)
	}
}

// read reads until the connection or the subscription ends.
func (s *randomSubscriber) read(ctx context.Context, p *peer, token string) {
	defer p.conn.CloseNow()
	defer context.AfterFunc(ctx, func() { p.conn.CloseNow() })()
	p.unchecked = true
	p.subscribe("c", "")
	var last uint64
	for {
		message, err := p.next()
		if err != nil {
			return
		}
		switch m := message.(type) {
		case *wire.State:
			last = m.Revision
		case *wire.Transaction:
			if m.Revision != last+1 {
				p.Errorf("%s: transaction %d after %d", token, m.Revision, last)
			}
			last = m.Revision
		case *wire.Error:
			if m.Code == codes.UnauthorizedSubscribe || m.Code == codes.Unavailable {
				return
			}
		}
		s.mu.Lock()
		s.last[token] = last
		s.mu.Unlock()
	}
}

// Revocations, reauthorizations, partitions and commits at the same time: no
// subscriber misses or repeats anything, none is sent what was committed after its
// revocation has returned, and one that is left alone gets everything.
func TestRevoke_Random(t *testing.T) {
	for seed := range uint64(4) {
		synctest.Test(t, func(t *testing.T) {
			p := serveProcesses(t)
			random := rand.New(rand.NewPCG(seed, 1))
			p.rules.set(func(_ context.Context, caller *sharedata.Caller, _ string) error {
				if caller.Subject == "bob" {
					return nil
				}
				time.Sleep(time.Duration(len(caller.TokenID)%7) * 100 * time.Millisecond)
				return refuseIf(time.Now().UnixMilli()%5 == 0)
			})
			bob := followC(p.b.dialToken("bob"))
			ctx, cancel := context.WithCancel(context.Background())
			defer cancel()
			var group sync.WaitGroup
			defer group.Wait()
			defer cancel()
			var subscribers []*randomSubscriber
			for i := range 6 {
				s := &randomSubscriber{name: fmt.Sprint("s", i), random: rand.New(rand.NewPCG(seed, uint64(i))), last: make(map[string]uint64)}
				subscribers = append(subscribers, s)
				group.Go(func() { s.run(ctx, p) })
			}
			p.a.addEvery(15 * time.Millisecond)
			returned := make(map[*randomSubscriber]map[string]uint64)
			for range 40 {
				time.Sleep(time.Duration(random.IntN(400)) * time.Millisecond)
				at := p.a
				if random.IntN(2) == 0 && !p.storeB.cut.Load() {
					at = p.b
				}
				switch random.IntN(6) {
				case 0:
					p.storeB.cut.Store(!p.storeB.cut.Load())
				case 1:
					p.storeB.deaf.Store(!p.storeB.deaf.Load())
				case 2:
					if err := at.server.Reauthorize(ctx); err != nil {
						t.Error(err)
					}
				case 3:
					at.server.Disconnect(func(c realtime.Connection) bool { return c.Caller.Subject == "s1" }, realtime.CloseFrame{})
				default:
					s := subscribers[random.IntN(len(subscribers))]
					s.mu.Lock()
					token := s.token
					s.mu.Unlock()
					at.revoke(realtime.Revocation{TokenID: token})
					if returned[s] == nil {
						returned[s] = make(map[string]uint64)
					}
					returned[s][token] = p.a.cursor("c").Revision
				}
			}
			p.storeB.cut.Store(false)
			p.storeB.deaf.Store(false)
			head := p.a.cursor("c").Revision
			time.Sleep(3 * time.Second)
			if bob.last.Load() < head || bob.resets.Load() > 0 {
				t.Errorf("bob was sent up to %d of %d, with %d resets", bob.last.Load(), head, bob.resets.Load())
			}
			for _, s := range subscribers {
				s.mu.Lock()
				for token, upTo := range returned[s] {
					if s.last[token] > upTo {
						t.Errorf("%s was sent %d; when its revocation returned, the history was at %d", token, s.last[token], upTo)
					}
				}
				s.mu.Unlock()
			}
		})
	}
}
