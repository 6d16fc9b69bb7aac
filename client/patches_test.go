package client

import (
	"bytes"
	"encoding/json"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/safe-go/safe/internal/wire"
	"github.com/safe-go/safe/schemas/codes"
)

// expectState takes events like expect; each line ends with the event's state.
func (e *events) expectStates(want ...string) {
	e.t.Helper()
	for _, w := range want {
		event, ok := e.receive().(Event)
		if !ok {
			e.t.Fatalf("no event, want %q", w)
		}
		if got := strings.TrimSpace(describe(event) + " " + string(event.state())); got != w {
			e.t.Fatalf("got %q, want %q", got, w)
		}
	}
}

// followPatched follows a subscription to x with patches, at revision 5.
func followPatched(f *fake, options *Options) (*peer, *events) {
	f.t.Helper()
	c, p := f.connect(options)
	s := follow(f.t, c.Subscribe("x"))
	p.expect(subscribeTo("x", ""))
	p.send(wholeSnapshot(5, 0))
	s.expectStates(`state e-5 {"n":5}`)
	return p, s
}

func TestPatches_LiveAndResumed(t *testing.T) {
	testWithFake(t, func(t *testing.T, f *fake) {
		p, s := followPatched(f, nil)
		p.send(patch(6), rejection(7, false), whole(8, false), patch(9))
		s.expectStates(`tx e-6 {"n":6}`, `tx e-7 {"n":6}`, `updated e-8 {"n":8}`)
		if event := s.receive().(*Transaction); string(event.Patch) != string(numberPatch(9)) || string(event.CurrentState) != `{"n":9}` {
			t.Errorf("patch %s, state %s", event.Patch, event.CurrentState)
		}
		if cursor, state := s.sub.Position(); cursor != "e-9" || string(state) != `{"n":9}` {
			t.Errorf("position %s with %s", cursor, state)
		}
		p.cut()
		p = f.accept()
		p.expect(subscribeTo("x", "e-9"))
		p.send(resumedSnapshot(12, 3), patchReplayed(10))
		s.expectStates(`state e-9 resumed +3 {"n":9}`, `tx e-10 replayed {"n":10}`)
		p.cut() // in the middle of the replay
		p = f.accept()
		p.expect(subscribeTo("x", "e-10"))
		p.send(resumedSnapshot(12, 2), patchReplayed(11), patchReplayed(12), patch(13))
		s.expectStates(`state e-10 resumed +2 {"n":10}`, `tx e-11 replayed {"n":11}`, `tx e-12 replayed {"n":12}`, `tx e-13 {"n":13}`)
	})
}

func TestSubscribeWith_State(t *testing.T) {
	testWithFake(t, func(t *testing.T, f *fake) {
		c, p := f.connect(nil)
		s := follow(t, c.SubscribeWith("x", SubscribeOptions{Cursor: "e-5", State: json.RawMessage(` {"n": 5}`)}))
		p.expect(subscribeTo("x", "e-5"))
		p.send(resumedSnapshot(6, 1), patchReplayed(6))
		s.expectStates(`state e-5 resumed +1 {"n":5}`, `tx e-6 replayed {"n":6}`)
		s.sub.Close()
		p.expect(unsubscribeFrom("x"))

		s = follow(t, c.SubscribeWith("x", SubscribeOptions{Cursor: "e-6", State: json.RawMessage(`{"n":5}`)}))
		p.expect(subscribeTo("x", "e-6"))
		p.send(resumedSnapshot(6, 0), patch(7))
		p.expect(unsubscribeFrom("x"), subscribeTo("x", ""))
		p.send(wholeSnapshot(7, 0))
		s.expectStates("gap after e-6", `state e-7 {"n":7}`)
	})
}

func TestSubscribeWith_Invalid(t *testing.T) {
	testWithFake(t, func(t *testing.T, f *fake) {
		c, p := f.connect(nil)
		for _, options := range []SubscribeOptions{{State: json.RawMessage("1")}, {Cursor: "e-5", State: json.RawMessage("{")}, {Cursor: "e-5", State: json.RawMessage{}}} {
			follow(t, c.SubscribeWith("x", options)).expectError(ErrInvalid)
		}
		p.quiet()
	})
}

func TestSubscribeWith_Asks(t *testing.T) {
	testWithFake(t, func(t *testing.T, f *fake) {
		c, p := f.connect(nil)
		s := follow(t, c.SubscribeWith("x", SubscribeOptions{Conflate: true, Activity: true}))
		subscribe := subscribeTo("x", "")
		subscribe.Conflate, subscribe.Activity = true, true
		p.expect(subscribe)
		loud := patch(6)
		loud.Activity = json.RawMessage(`{"time":"2026-01-02T03:04:05Z","subject":"ann","issuer":"here","proposedData":{"by":1},"code":"c","reason":"r","details":[1]}`)
		odd := patch(7)
		odd.Activity = json.RawMessage(`{"subject":"bob","code":1,"reason":"r"}`)
		p.send(wholeSnapshot(5, 0), loud, odd, skippedSnapshot(96, 89))
		s.expectStates(`state e-5 {"n":5}`)
		for _, want := range []string{
			`{"Time":"2026-01-02T03:04:05Z","Subject":"ann","Issuer":"here","ProposedData":{"by":1},"Code":"c","Reason":"r","Details":[1]}`,
			`{"Time":"0001-01-01T00:00:00Z","Subject":"bob","Issuer":"","ProposedData":null,"Code":"","Reason":"r","Details":null}`,
		} {
			if got, _ := json.Marshal(s.receive().(*Transaction).Activity); string(got) != want {
				t.Errorf("\n got %s\nwant %s", got, want)
			}
		}
		s.expectStates(`state e-96 skipped 89 {"n":96}`)
	})
}

// Whatever shows that the state differs, and wherever the subscription is then, the
// consumer gets one Gap and one State, and nothing before that again.
func TestPatches_StateDiffers(t *testing.T) {
	unfit := patch(7)
	unfit.Patch = json.RawMessage(`[{"op":"remove","path":"/m"}]`)
	for name, bad := range map[string]*wire.Transaction{"hash": withHash(patch(7), 6), "patch": unfit} {
		t.Run(name, func(t *testing.T) {
			testWithFake(t, func(t *testing.T, f *fake) {
				var log bytes.Buffer
				p, s := followPatched(f, &Options{Logger: slog.New(slog.NewTextHandler(&log, nil))})
				p.send(patch(6), bad, patch(8), whole(9, false))
				synctest.Wait()
				s.expectStates(`tx e-6 {"n":6}`, "gap after e-6")
				p.expect(unsubscribeFrom("x"), subscribeTo("x", ""))
				p.send(patch(10), wholeSnapshot(10, 0), patch(11))
				s.expectStates(`state e-10 {"n":10}`, `tx e-11 {"n":11}`)
				s.quiet()
				p.quiet()
				if text := log.String(); strings.Count(text, "level=WARN") != 1 || !strings.Contains(text, "the state differs from the server's") {
					t.Errorf("log %q", text)
				}
			})
		})
	}
}

func TestPatches_StateDiffersWhilePaused(t *testing.T) {
	testWithFake(t, func(t *testing.T, f *fake) {
		c, p := f.connect(&Options{EventBuffer: 3})
		sub := c.Subscribe("x")
		p.expect(subscribeTo("x", ""))
		p.send(wholeSnapshot(5, 0), withHash(patch(6), 5), patch(7), patch(8))
		p.expect(unsubscribeFrom("x"))
		s := follow(t, sub)
		s.expectStates(`state e-5 {"n":5}`, "gap after e-5")
		p.expect(subscribeTo("x", ""))
		p.send(wholeSnapshot(8, 0))
		s.expectStates(`state e-8 {"n":8}`)
		p.quiet()
	})
}

// The subscribe of the next connection continues from the state that differs.
func TestPatches_StateDiffersWhileSubscribing(t *testing.T) {
	for _, closes := range []bool{false, true} {
		testWithFake(t, func(t *testing.T, f *fake) {
			c, p := f.connect(nil)
			sub := c.Subscribe("x")
			p.expect(subscribeTo("x", ""))
			p.send(wholeSnapshot(5, 0), withHash(patch(6), 5))
			synctest.Wait()
			p.cut()
			p = f.accept()
			p.expect(subscribeTo("x", "e-6"))
			s := follow(t, sub)
			s.expectStates(`state e-5 {"n":5}`, "gap after e-5")
			if closes {
				sub.Close()
			}
			p.send(resumedSnapshot(7, 1), patchReplayed(7))
			p.expect(unsubscribeFrom("x"))
			if closes {
				p.quiet()
				return
			}
			p.expect(subscribeTo("x", ""))
			p.send(wholeSnapshot(7, 0))
			s.expectStates(`state e-7 {"n":7}`)
			p.quiet()
		})
	}
}

func TestPatches_StateDiffersWhileDelayed(t *testing.T) {
	testWithFake(t, func(t *testing.T, f *fake) {
		c, p := f.connect(nil)
		sub := c.Subscribe("x")
		p.expect(subscribeTo("x", ""))
		p.send(wholeSnapshot(5, 0), withHash(patch(6), 5), &wire.Error{Code: codes.Unavailable, ShareDataID: "x", RetryAfterMs: 900})
		synctest.Wait()
		s := follow(t, sub)
		s.expectStates(`state e-5 {"n":5}`, "gap after e-5")
		p.quiet()
		if frame := p.receiveWithin(3 * time.Second); frame.(*wire.Subscribe).Since != "" {
			t.Errorf("subscribed with %s", frame.AppendTo(nil))
		}
	})
}

func TestPatches_StateDiffersBeforeRemoval(t *testing.T) {
	testWithFake(t, func(t *testing.T, f *fake) {
		c, p := f.connect(nil)
		sub := c.Subscribe("x")
		p.expect(subscribeTo("x", ""))
		p.send(wholeSnapshot(5, 0), withHash(patch(6), 5), patch(7), removed(8))
		synctest.Wait()
		s := follow(t, sub)
		s.expectStates(`state e-5 {"n":5}`, "gap after e-5", "removed 8")
		s.expectEnd()
		p.quiet()
	})
}

// A text that changed on its way is not what the server computes hashes of: patches
// would differ again and again.
func TestPatches_ReceivedStateDiffers(t *testing.T) {
	testWithFake(t, func(t *testing.T, f *fake) {
		c, p := f.connect(nil)
		s := follow(t, c.Subscribe("x"))
		p.expect(subscribeTo("x", ""))
		changed := wholeSnapshot(5, 0)
		changed.CurrentState = json.RawMessage(`{"n": 5}`)
		p.send(changed, patch(6))
		plain := subscribeTo("x", "")
		plain.Patches = false
		p.expect(unsubscribeFrom("x"), plain)
		p.send(snapshot("e", 6, 0), transaction(7))
		s.expectStates("state e-6 1", "tx e-7 1")
		p.cut()
		p = f.accept()
		plain = subscribeTo("x", "e-7")
		plain.Patches = false
		p.expect(plain)
	})
}

func TestPatches_SwitchedOff(t *testing.T) {
	testWithFake(t, func(t *testing.T, f *fake) {
		c, p := f.connect(&Options{KeptStateBytes: -1})
		s := follow(t, c.SubscribeWith("x", SubscribeOptions{Cursor: "e-4", State: json.RawMessage("1")}))
		plain := subscribeTo("x", "e-4")
		plain.Patches = false
		p.expect(plain)
		p.send(snapshot("e", 5, 1), replayed(5))
		s.expectStates("state e-5 resumed +1 1", "tx e-5 replayed 1")
		if cursor, state := s.sub.Position(); cursor != "e-5" || state != nil {
			t.Errorf("position %s with %s", cursor, state)
		}
	})
}

// A state that is too large to be kept ends the patches, and nothing is missed.
func TestPatches_LargeState(t *testing.T) {
	large := json.RawMessage(`[{"op":"replace","path":"/n","value":"` + strings.Repeat("x", 100) + `"}]`)
	testWithFake(t, func(t *testing.T, f *fake) {
		c, p := f.connect(&Options{KeptStateBytes: 50})
		sub := c.Subscribe("x")
		p.expect(subscribeTo("x", ""))
		grow := patch(6)
		grow.Patch = large
		p.send(wholeSnapshot(5, 0), grow, rejection(7, false))
		synctest.Wait()
		s := follow(t, sub)
		s.expectStates(`state e-5 {"n":5}`)
		plain := subscribeTo("x", "e-7")
		plain.Patches = false
		s.expect("tx e-6")
		p.expect(unsubscribeFrom("x"), plain)
		if event := s.receive().(*Transaction); len(event.CurrentState) < 100 {
			t.Errorf("state %s", event.CurrentState)
		}
		p.send(snapshot("e", 8, 1), replayed(8), transaction(9))
		s.expectStates("state e-8 resumed +1 1", "tx e-8 replayed 1", "tx e-9 1")
		if _, state := s.sub.Position(); state != nil {
			t.Errorf("%s is kept", state)
		}
		p.quiet()
	})
}

func TestProve_Patches(t *testing.T) {
	testWithFake(t, func(t *testing.T, f *fake) {
		c, p := f.connect(nil)
		c.SubscribeWith("x", SubscribeOptions{Cursor: "e-5", State: numberState(5)}) // nobody takes the events
		p.expect(subscribeTo("x", "e-5"))
		propose(t, c, provenProposal())
		p.send(resumedSnapshot(7, 2), patchReplayed(6))
		p.quiet()
		p.send(patchReplayed(7))
		prove := func(position, hash string) *wire.Propose {
			t.Helper()
			frame := p.expectPropose()
			var input ProofInput
			if err := json.Unmarshal(frame.Proof, &input); err != nil || input.Position != position || input.StateHash != hash {
				t.Errorf("the proof is %s, %v", frame.Proof, err)
			}
			return frame
		}
		first := prove("e-7", hashOf(numberState(7)))
		p.send(patch(8), withHash(rejection(9, false), 8), refusedAs(first, codes.ProofStale))
		first = prove("e-9", hashOf(numberState(8)))

		// A state that differs proves nothing: the proof waits for the next one.
		p.send(withHash(patch(10), 9), refusedAs(first, codes.ProofStale))
		p.expect(unsubscribeFrom("x"), subscribeTo("x", ""))
		p.quiet()
		p.send(wholeSnapshot(10, 0))
		prove("e-10", hashOf(numberState(10)))
	})
}

func TestPosition_StateDiffers(t *testing.T) {
	s := &Subscription{client: &Client{}, delivered: position{cursor: "e-5", state: wholeState(numberState(5), "other")}}
	if _, state := s.Position(); state != nil {
		t.Errorf("state %s", state)
	}
}

// A server that sends no state to a subscriber who has none is asked again, slowly.
func TestPatches_StateMissing(t *testing.T) {
	testWithFake(t, func(t *testing.T, f *fake) {
		c, p := f.connect(nil)
		s := follow(t, c.Subscribe("x"))
		p.expect(subscribeTo("x", ""))
		for range 3 {
			p.send(resumedSnapshot(5, 0))
			p.expect(unsubscribeFrom("x"))
			p.quiet()
			if frame := p.receiveWithin(3 * time.Second).(*wire.Subscribe); frame.Since != "" {
				t.Errorf("subscribed with %s", frame.AppendTo(nil))
			}
		}
		p.send(wholeSnapshot(5, 0))
		s.expectStates(`state e-5 {"n":5}`)
	})
}

// While the consumer computes a state, the subscription may begin again.
func TestTake_EventDropped(t *testing.T) {
	testWithFake(t, func(t *testing.T, f *fake) {
		c, p := f.connect(nil)
		s := c.SubscribeFrom("x", "e-4")
		p.send(includedSnapshot(5, 1), patchReplayed(5))
		synctest.Wait()
		first, _, _ := s.firstEvent()
		c.mu.Lock()
		s.rejectStateLocked(&stateError{cause: errStateHash})
		c.mu.Unlock()
		for _, failure := range []error{nil, errStateHash} {
			if event := s.take(first, failure); event != nil {
				t.Errorf("took %s", describe(event))
			}
		}
		if len(s.buffer) != 1 || describe(s.buffer[0].event) != "gap after e-4" {
			t.Errorf("%d events wait", len(s.buffer))
		}
		s.Close()
		if event := s.take(first, nil); event != nil {
			t.Errorf("took %s", describe(event))
		}
	})
}
