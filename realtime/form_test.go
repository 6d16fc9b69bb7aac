package realtime

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/safe-go/safe/internal/wire"
	"github.com/safe-go/safe/replay"
	"github.com/safe-go/safe/sharedata"
)

// inForm returns a live subscription of a form.
func (b *channelFixture) inForm(f form) *subscription {
	b.Helper()
	sub := b.subscription("")
	sub.request.Patches, sub.request.Activity = f.has(withPatches), f.has(withActivity)
	if sub.form = formOf(&sub.request, nil); sub.form != f {
		b.Fatalf("form %v, want %v", sub.form, f)
	}
	sub.begin(page{}, "")
	sentTo(sub)
	return sub
}

// queued returns what waits for a peer.
func queued(sub *subscription) []*frame {
	o := sub.session.out
	return o.queue.all()
}

var allForms = []form{{}, {parts: withActivity}, {parts: withPatches}, {parts: withActivity | withPatches}}

func TestForms_EncodedOnce(t *testing.T) {
	b := newChannelFixture(t)
	subs := make(map[form][2]*subscription)
	for _, f := range allForms {
		subs[f] = [2]*subscription{b.inForm(f), b.inForm(f)}
	}
	b.commit(1)
	for f, pair := range subs {
		one, two := queued(pair[0])[0], queued(pair[1])[0]
		if one != two {
			t.Errorf("form %v is encoded twice", f)
		}
		if !strings.Contains(string(one.text), `"currentState":2`) { // the event does not say what changed
			t.Errorf("form %v: %s", f, one.text)
		}
		if got := strings.Contains(string(one.text), `"activity"`); got != f.has(withActivity) {
			t.Errorf("form %v: %s", f, one.text)
		}
	}
	for f, pair := range subs {
		for _, sub := range pair {
			sub.end()
		}
		if n := b.channel.encodings.of(f).subscribers; n != 0 {
			t.Errorf("form %v: %d subscribers are counted", f, n)
		}
	}
	if frames := testing.AllocsPerRun(10, func() { b.commit(1) }); frames > 10 {
		t.Errorf("%v allocations for nobody", frames)
	}
}

func TestForms_Reset(t *testing.T) {
	b := newChannelFixture(t)
	sub := b.inForm(form{parts: withPatches})
	b.head = replay.Cursor{Epoch: b.head.Epoch + 1, Revision: 50}
	state := json.RawMessage(`{"n":50}`)
	b.channel.Observe([]sharedata.Event{{
		Entry: sharedata.Entry{ShareDataID: "c", Cursor: b.head, StateHash: sharedata.HashState(state)}, State: state, Reset: true,
	}})
	want := fmt.Sprintf(`{"v":1,"type":"state","shareDataId":"c","currentState":{"n":50},"lastTransactionId":null,"cursor":"%s","revision":50,"replaying":0,"stateHash":"%s"}`,
		b.head, sharedata.HashState(state))
	if got := string(queued(sub)[0].text); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	b.want(sub, "state 50+0", "replay-cursor-not-found")
}

// What is held beyond a bound becomes a new state, which has its hash.
func TestForms_Collapse(t *testing.T) {
	hash := sharedata.HashState(json.RawMessage(`7`))
	end := sharedata.Entry{ShareDataID: "c", Cursor: replay.Cursor{Epoch: 1, Revision: 7}, Type: sharedata.EntryTransaction, StateHash: hash}
	if got := collapse([]sharedata.Event{{Entry: end, State: json.RawMessage(`7`)}}, replay.Cursor{}); got.StateHash != hash {
		t.Errorf("hash %s", got.StateHash)
	}
}

func TestResumption_Extras(t *testing.T) {
	here := resumption{resumed: true, count: 3}
	for _, test := range []struct {
		request    wire.Subscribe
		at         resumption
		unrecorded bool
		want       stateExtras
	}{
		{wire.Subscribe{}, here, false, stateExtras{replaying: 3}},
		{wire.Subscribe{}, here, true, stateExtras{replaying: 3}},
		{wire.Subscribe{ReplayLifecycle: true, IncludeState: true}, here, false, stateExtras{replaying: 3, announce: true}},
		{wire.Subscribe{Patches: true}, here, false, stateExtras{replaying: 3, withHash: true, resumed: true, withoutState: true}},
		{wire.Subscribe{Patches: true}, here, true, stateExtras{replaying: 3, withHash: true, resumed: true}},
		{wire.Subscribe{Patches: true, IncludeState: true}, here, false, stateExtras{replaying: 3, withHash: true, resumed: true}},
		{wire.Subscribe{Patches: true}, resumption{resumed: true}, false, stateExtras{withHash: true, resumed: true, withoutState: true}},
		{wire.Subscribe{Patches: true}, resumption{}, false, stateExtras{withHash: true}},
		{wire.Subscribe{Patches: true}, resumption{problem: "lost"}, false, stateExtras{withHash: true}},
	} {
		if got := test.at.extras(&test.request, form{}, test.unrecorded); got != test.want {
			t.Errorf("%+v: got %+v, want %+v", test.request, got, test.want)
		}
	}
}
