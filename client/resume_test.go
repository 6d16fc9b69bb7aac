package client

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/safe-go/safe/internal/wire"
	"github.com/safe-go/safe/schemas/codes"
)

func TestResume_MidReplay(t *testing.T) {
	testWithFake(t, func(t *testing.T, f *fake) {
		p, s := f.subscribe(nil)
		p.cut()

		p = f.accept()
		p.expect(subscribeTo("x", "e-5"))
		p.send(snapshot("e", 9, 4), replayed(6), replayed(7))
		s.expect("state e-9 resumed +4", "tx e-6 replayed", "tx e-7 replayed")
		if got := s.sub.Cursor(); got != "e-7" {
			t.Errorf("cursor %q in the middle of the replay", got)
		}
		p.cut()

		p = f.accept()
		p.expect(subscribeWithoutState("x", "e-7"))
		p.send(snapshot("e", 9, 2), replayed(8), replayed(9), transaction(10))
		s.expect("state e-9 resumed +2", "tx e-8 replayed", "tx e-9 replayed", "tx e-10")
	})
}

func TestResume_Gap(t *testing.T) {
	testWithFake(t, func(t *testing.T, f *fake) {
		p, s := f.subscribe(nil)
		p.cut()
		p = f.accept()
		p.expect(subscribeTo("x", "e-5"))
		p.send(snapshot("f", 2, 0), &wire.Error{Code: codes.ReplayCursorNotFound, Message: "lost", ShareDataID: "x"})
		s.expect("gap after e-5", "state f-2")
		if got := s.sub.Cursor(); got != "f-2" {
			t.Errorf("cursor %q after the gap", got)
		}
		s.quiet()
	})
}

func TestResume_AfterBuffered(t *testing.T) {
	testWithFake(t, func(t *testing.T, f *fake) {
		c, p := f.connect(nil)
		sub := c.Subscribe("x")
		p.expect(subscribeTo("x", ""))
		p.send(snapshot("e", 5, 0), transaction(6), transaction(7))
		synctest.Wait()
		if got := sub.Cursor(); got != "" {
			t.Errorf("cursor %q before anything was delivered", got)
		}
		p.cut()
		p = f.accept()
		p.expect(subscribeTo("x", "e-7"))
		p.send(snapshot("e", 8, 1), replayed(8))
		s := follow(t, sub)
		s.expect("state e-5", "tx e-6", "tx e-7", "state e-8 resumed +1", "tx e-8 replayed")
	})
}

func TestSubscribeFrom_Cursor(t *testing.T) {
	testWithFake(t, func(t *testing.T, f *fake) {
		c, p := f.connect(nil)
		x, y := follow(t, c.SubscribeFrom("x", "e-5")), follow(t, c.SubscribeFrom("y", "e-9"))
		p.expect(subscribeWithoutState("x", "e-5"), subscribeWithoutState("y", "e-9"))
		p.send(snapshot("e", 6, 1), replayed(6), of("y", snapshot("f", 1, 0)))
		x.expect("state e-6 resumed +1", "tx e-6 replayed")
		y.expect("gap after e-9", "state f-1")
	})
}

func TestMissingFrame_Gap(t *testing.T) {
	testWithFake(t, func(t *testing.T, f *fake) {
		c, p := f.connect(nil)
		s := follow(t, c.Subscribe("x"))
		p.expect(subscribeTo("x", ""))
		p.send(snapshot("e", 5, 0), transaction(7), transaction(8))
		p.expect(unsubscribeFrom("x"), subscribeTo("x", ""))
		p.send(snapshot("e", 8, 0), transaction(9))
		s.expect("state e-5", "gap after e-5", "state e-8", "tx e-9")
	})
}

func TestPublishedServer_Barrier(t *testing.T) {
	reconnected := func(t *testing.T, f *fake) (p *peer, x, y *events) {
		c, p := f.connect(nil)
		x, y = follow(t, c.Subscribe("x")), follow(t, c.Subscribe("y"))
		p.expect(subscribeTo("x", ""), subscribeTo("y", ""))
		p.send(plainState("t5"), of("y", plainState("t15")))
		x.expect("state t5")
		y.expect("state t15")
		p.cut()
		p = f.accept()
		p.expect(subscribeTo("x", "t5"), subscribeTo("y", "t15"))
		return p, x, y
	}
	t.Run("resumed", func(t *testing.T) {
		testWithFake(t, func(t *testing.T, f *fake) {
			p, x, y := reconnected(t, f)
			p.send(plainState("t6"), of("y", plainState("t15")))
			y.expect("state t15 resumed")
			x.quiet()
			ping := p.receive().(*wire.Ping)
			p.quiet()
			p.send(plainReplayed("t6"), &wire.Pong{CorrelationID: ping.CorrelationID}, plain("t7"))
			x.expect("state t6 resumed", "tx t6 replayed", "tx t7")
		})
	})
	t.Run("nothing replayed", func(t *testing.T) {
		testWithFake(t, func(t *testing.T, f *fake) {
			p, x, _ := reconnected(t, f)
			p.send(plainState("t6"))
			ping := p.receive().(*wire.Ping)
			x.quiet()
			p.send(&wire.Pong{CorrelationID: ping.CorrelationID})
			x.expect("state t6 resumed")
		})
	})
	t.Run("the barrier is refused", func(t *testing.T) {
		testWithFake(t, func(t *testing.T, f *fake) {
			p, x, _ := reconnected(t, f)
			p.send(plainState("t6"))
			ping := p.receive().(*wire.Ping)
			p.send(&wire.Error{Code: codes.RateLimited, CorrelationID: ping.CorrelationID, RetryAfterMs: 2000})
			p.expect(unsubscribeFrom("x"))
			time.Sleep(2*time.Second - ms)
			p.quiet()
			p.expect(subscribeTo("x", "t5"))
			p.send(plainState("t6"))
			ping = p.receive().(*wire.Ping)
			p.send(plainReplayed("t6"), &wire.Pong{CorrelationID: ping.CorrelationID})
			x.expect("state t6 resumed", "tx t6 replayed")
		})
	})
	t.Run("one cursor of two is lost", func(t *testing.T) {
		testWithFake(t, func(t *testing.T, f *fake) {
			p, x, y := reconnected(t, f)
			p.send(plainState("t6"), of("y", plainState("t16")))
			first, second := p.receive().(*wire.Ping), p.receive().(*wire.Ping)
			p.send(&wire.Error{Code: codes.ReplayCursorNotFound, Message: "since=t15 not present in retained replay window"})
			y.expect("gap after t15", "state t16")
			x.quiet()
			p.send(&wire.Pong{CorrelationID: first.CorrelationID}, &wire.Pong{CorrelationID: second.CorrelationID})
			x.expect("state t6 resumed")
			y.quiet()
		})
	})
	t.Run("a barrier of an earlier round decides nothing", func(t *testing.T) {
		testWithFake(t, func(t *testing.T, f *fake) {
			c, p := f.connect(&Options{EventBuffer: 1})
			sub := c.SubscribeFrom("x", "t5")
			p.expect(subscribeWithoutState("x", "t5"))
			p.send(plainState("t7"))
			old := p.receive().(*wire.Ping)
			p.send(plainReplayed("t6"))
			p.expect(unsubscribeFrom("x"))
			s := follow(t, sub)
			s.expect("state t7 resumed")
			p.expect(subscribeWithoutState("x", "t5"))
			p.send(plainState("t8"))
			p.expect(&wire.Ping{})
			p.send(&wire.Pong{CorrelationID: old.CorrelationID})
			s.quiet()
			p.send(&wire.Error{Code: codes.ReplayCursorNotFound, Message: "since=t5 not present"})
			s.expect("gap after t5")
			// There was no room for the state any more.
			p.expect(unsubscribeFrom("x"), subscribeTo("x", ""))
			p.send(plainState("t8"))
			s.expect("state t8")
		})
	})
	t.Run("which cursor is lost is not said", func(t *testing.T) {
		testWithFake(t, func(t *testing.T, f *fake) {
			p, x, y := reconnected(t, f)
			p.send(plainState("t6"), of("y", plainState("t16")))
			p.send(&wire.Error{Code: codes.ReplayCursorNotFound, Message: "lost"})
			x.expect("gap after t5", "state t6")
			y.expect("gap after t15", "state t16")
		})
	})
}
