package realtime_test

import (
	"fmt"
	"strings"
	"testing"
)

// A subscriber that asks for nothing new is sent the frames that earlier releases
// sent, byte for byte: clients in use read the state of every live transaction,
// also of a rejected one.
func TestFrames_WithoutPatches(t *testing.T) {
	ts := serve(t, nil)
	ts.create("c")
	first := ts.cursor("c")
	p := ts.dial()
	p.subscribe("c", "")
	got := []string{p.nextText()}
	for _, by := range []int{1, -5} {
		p.propose("c", "add", fmt.Sprintf(`{"by":%d}`, by), "1")
		got = append(got, p.nextText(), p.nextText())
	}
	if _, err := ts.manager.Update(t.Context(), "c", counter{Value: 7}); err != nil {
		t.Fatal(err)
	}
	got = append(got, p.nextText())
	for _, lifecycle := range []bool{false, true} {
		q := ts.dial()
		q.send(`{"v":1,"type":"subscribe","shareDataId":"c","since":"%s","replayLifecycle":%t}`, first, lifecycle)
		for range 3 {
			got = append(got, q.nextText())
		}
		if lifecycle {
			got = append(got, q.nextText())
		}
		q.wantPong("the end")
	}
	if err := ts.manager.Remove(t.Context(), "c"); err != nil {
		t.Fatal(err)
	}
	got = append(got, p.nextText())
	want := []string{
		`{"v":1,"type":"state","shareDataId":"c","currentState":{"value":0},"lastTransactionId":null,"cursor":"E-1","revision":1}`,
		`{"v":1,"type":"transaction","shareDataId":"c","transactionId":"E-2","accepted":true,"currentState":{"value":1},"revision":2,"functionId":"add"}`,
		`{"v":1,"type":"proposal-result","correlationId":"1","accepted":true,"transactionId":"E-2"}`,
		`{"v":1,"type":"transaction","shareDataId":"c","transactionId":"E-3","accepted":false,"currentState":{"value":1},"revision":3,"functionId":"add"}`,
		`{"v":1,"type":"proposal-result","correlationId":"1","accepted":false,"transactionId":"E-3","error":"the counter cannot go below zero","code":"rejected"}`,
		`{"v":1,"type":"lifecycle","shareDataId":"c","event":"updated","currentState":{"value":7},"cursor":"E-4","revision":4}`,
		`{"v":1,"type":"state","shareDataId":"c","currentState":{"value":7},"lastTransactionId":"E-3","cursor":"E-4","revision":4}`,
		`{"v":1,"type":"transaction","shareDataId":"c","transactionId":"E-2","accepted":true,"replayed":true,"revision":2,"functionId":"add"}`,
		`{"v":1,"type":"transaction","shareDataId":"c","transactionId":"E-3","accepted":false,"replayed":true,"revision":3,"functionId":"add"}`,
		`{"v":1,"type":"state","shareDataId":"c","currentState":{"value":7},"lastTransactionId":"E-3","cursor":"E-4","revision":4,"replaying":3}`,
		`{"v":1,"type":"transaction","shareDataId":"c","transactionId":"E-2","accepted":true,"replayed":true,"revision":2,"functionId":"add"}`,
		`{"v":1,"type":"transaction","shareDataId":"c","transactionId":"E-3","accepted":false,"replayed":true,"revision":3,"functionId":"add"}`,
		`{"v":1,"type":"lifecycle","shareDataId":"c","event":"updated","replayed":true,"cursor":"E-4","revision":4}`,
		`{"v":1,"type":"lifecycle","shareDataId":"c","event":"removed","cursor":"E-5","revision":5}`,
	}
	epoch := fmt.Sprintf(`"%d-`, first.Epoch)
	for i, text := range got {
		if text := strings.ReplaceAll(text, epoch, `"E-`); text != want[i] {
			t.Errorf("frame %d\ngot  %s\nwant %s", i, text, want[i])
		}
	}
}
