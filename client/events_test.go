package client

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/safe-go/safe/internal/wire"
)

func TestEvents_Fields(t *testing.T) {
	type counter struct{ Value int }
	testWithFake(t, func(t *testing.T, f *fake) {
		c, p := f.connect(nil)
		s := follow(t, c.Subscribe("x"))
		p.expect(subscribeTo("x", ""))
		p.send(
			&wire.State{ShareDataID: "x", CurrentState: json.RawMessage(`{"value":4}`), LastTransactionID: "e-4", Cursor: "e-5", Revision: 5},
			&wire.Transaction{ShareDataID: "x", TransactionID: "e-6", Accepted: true, CurrentState: json.RawMessage(`{"value":6}`), Revision: 6, FunctionID: "add"},
			&wire.Lifecycle{ShareDataID: "x", Event: wire.EventUpdated, CurrentState: json.RawMessage(`{"value":7}`), Cursor: "e-7", Revision: 7},
			&wire.Lifecycle{ShareDataID: "x", Event: wire.EventRemoved, Cursor: "e-8", Revision: 8},
		)
		want := []string{
			`*client.State{"ShareDataID":"x","CurrentState":{"value":4},"Cursor":"e-5","Revision":5,"LastTransactionID":"e-4","Resumed":false,"Replaying":0,"Skipped":0} 4`,
			`*client.Transaction{"ShareDataID":"x","TransactionID":"e-6","Accepted":true,"CurrentState":{"value":6},"Patch":null,"Replayed":false,"Revision":6,"FunctionID":"add","Activity":null} 6`,
			`*client.Lifecycle{"ShareDataID":"x","Removed":false,"CurrentState":{"value":7},"Patch":null,"Replayed":false,"Cursor":"e-7","Revision":7,"Activity":null} 7`,
			`*client.Lifecycle{"ShareDataID":"x","Removed":true,"CurrentState":null,"Patch":null,"Replayed":false,"Cursor":"e-8","Revision":8,"Activity":null} none`,
		}
		for _, w := range want {
			event := s.receive().(Event)
			fields, _ := json.Marshal(event)
			got := fmt.Sprintf("%T%s ", event, fields)
			switch state, err := DecodeState[counter](event); {
			case errors.Is(err, ErrNoState):
				got += "none"
			case err != nil:
				t.Error(err)
			default:
				got += fmt.Sprint(state.Value)
			}
			if got != w {
				t.Errorf("\n got %s\nwant %s", got, w)
			}
		}
		s.expectEnd()
	})
}

func TestDecodeState_Errors(t *testing.T) {
	if _, err := DecodeState[int](&State{CurrentState: json.RawMessage(`"text"`)}); err == nil || errors.Is(err, ErrNoState) {
		t.Errorf("error %v", err)
	}
	for _, event := range []Event{nil, &Gap{}, &Transaction{Replayed: true}, &Lifecycle{Removed: true}} {
		if _, err := DecodeState[int](event); !errors.Is(err, ErrNoState) {
			t.Errorf("%T: error %v, want ErrNoState", event, err)
		}
	}
}

func TestEvents_BreakAndContinue(t *testing.T) {
	testWithFake(t, func(t *testing.T, f *fake) {
		c, p := f.connect(nil)
		sub := c.Subscribe("x")
		p.expect(subscribeTo("x", ""))
		p.send(snapshot("e", 5, 0), transaction(6), transaction(7), transaction(8))
		var got []string
		for range 4 {
			for event, err := range sub.Events(context.Background()) {
				if err != nil {
					t.Fatal(err)
				}
				got = append(got, describe(event)+" at "+sub.Cursor())
				break
			}
		}
		if got, want := strings.Join(got, ", "), "state e-5 at e-5, tx e-6 at e-6, tx e-7 at e-7, tx e-8 at e-8"; got != want {
			t.Errorf("got %s, want %s", got, want)
		}
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		for event, err := range sub.Events(ctx) {
			if event != nil || !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("got %v, %v", event, err)
			}
		}
	})
}

func TestEvents_OneLoop(t *testing.T) {
	testWithFake(t, func(t *testing.T, f *fake) {
		c, _ := f.connect(nil)
		sub := c.Subscribe("x")
		first := follow(t, sub)
		synctest.Wait()
		follow(t, sub).expectError(ErrConsumed)
		first.cancel()
		synctest.Wait()
		follow(t, sub).quiet()
	})
}
