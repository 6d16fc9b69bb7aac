package schemas_test

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/safe-go/safe/schemas"
)

func newValidator(t testing.TB) *schemas.Validator {
	t.Helper()
	v, err := schemas.New()
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func TestExplain_ValidFrames(t *testing.T) {
	v := newValidator(t)
	for _, frame := range []string{
		`{"v":1,"type":"subscribe","shareDataId":"s"}`,
		`{"v":1.0,"type":"subscribe","shareDataId":"s","since":""}`,
		`{"type":"unsubscribe","shareDataId":"s","v":1}`,
		`{"v":1,"type":"propose","shareDataId":"s","functionId":"f","proposedData":null,"correlationId":"c"}`,
		`{"v":1,"type":"propose","shareDataId":"s","functionId":"f","proposedData":[{}],"correlationId":"c","proof":null,"idempotencyKey":"k"}`,
		` {"v":1,"type":"ping","correlationId":"\ud83d\ude00","anything":{"goes":["here"]}} `,
		`{"v":1,"type":"ping","correlationId":"c","tokenExpiry":true}`,
		`{"v":1,"type":"authenticate","correlationId":"c","token":"a.b.c"}`,
	} {
		if err := v.ExplainClient([]byte(frame)); err != nil {
			t.Errorf("%s: %v", frame, err)
		}
	}
	for _, frame := range []string{
		`{"v":1,"type":"state","shareDataId":"s","currentState":{},"lastTransactionId":null}`,
		`{"v":1,"type":"state","shareDataId":"s","currentState":null,"lastTransactionId":"t","cursor":"c","revision":1e2,"replaying":0}`,
		`{"v":1,"type":"state","shareDataId":"s","lastTransactionId":null,"resumed":true}`,
		`{"v":1,"type":"transaction","shareDataId":"s","transactionId":"t","accepted":false}`,
		`{"v":1,"type":"transaction","shareDataId":"s","transactionId":"t","accepted":true,"patch":[7],"activity":{"time":7}}`,
		`{"v":1,"type":"lifecycle","shareDataId":"s","event":"removed"}`,
		`{"v":1,"type":"proposal-result","correlationId":"c","accepted":true}`,
		`{"v":1,"type":"pong","correlationId":"c"}`,
		`{"v":1,"type":"pong","correlationId":"c","tokenExpiresInMs":0}`,
		`{"v":1,"type":"authenticated","correlationId":"c","tokenExpiresInMs":1}`,
		`{"v":1,"type":"error","code":"x","message":"","retryAfterMs":0}`,
	} {
		if err := v.ExplainServer([]byte(frame)); err != nil {
			t.Errorf("%s: %v", frame, err)
		}
	}
}

func TestExplain_Messages(t *testing.T) {
	v := newValidator(t)
	tests := []struct {
		name    string
		explain func([]byte) error
		frame   string
		want    string
	}{
		{"one thing missing", v.ExplainClient, `{"v":1,"type":"ping"}`, "ping frame: /correlationId is missing"},
		{
			"several things wrong", v.ExplainClient,
			`{"v":2,"type":"propose","shareDataId":"","functionId":7,"correlationId":null}`,
			"propose frame: /correlationId must be a string, not null; /functionId must be a string, not a number; " +
				"/proposedData is missing; /shareDataId must not be empty; /v must be 1, not 2",
		},
		{
			"too long", v.ExplainClient, `{"v":1,"type":"ping","correlationId":"` + strings.Repeat("é", 1025) + `"}`,
			"ping frame: /correlationId must have at most 1024 characters, not 1025",
		},
		{
			"not one of the choices", v.ExplainServer, `{"v":1,"type":"lifecycle","shareDataId":"s","event":"gone\n"}`,
			`lifecycle frame: /event must be one of "updated", "removed", not "gone\n"`,
		},
		{
			"one of several types", v.ExplainServer, `{"v":1,"type":"state","shareDataId":"s","currentState":1,"lastTransactionId":false}`,
			"state frame: /lastTransactionId must be null or a string, not a boolean",
		},
		{
			"out of range", v.ExplainServer, `{"v":1,"type":"state","shareDataId":"s","currentState":1,"lastTransactionId":null,"revision":-1,"replaying":1e99}`,
			"state frame: /replaying must be at most 9007199254740991; /revision must be at least 0",
		},
		{
			"no pattern", v.ExplainServer, `{"v":1,"type":"transaction","shareDataId":"s","transactionId":"t","accepted":true,"stateHash":"AB","patch":{}}`,
			`transaction frame: /patch must be an array, not an object; /stateHash must match ^[0-9a-f]{64}$, not "AB"`,
		},
		{
			"missing by another", v.ExplainServer, `{"v":1,"type":"state","shareDataId":"s","lastTransactionId":null,"resumed":false,"skipped":0}`,
			"state frame: /currentState is missing; /skipped must be at least 1",
		},
		{"no type", v.ExplainClient, `{"v":1}`, "frame: /type is missing; it must be one of subscribe, unsubscribe, propose, ping, authenticate"},
		{"another direction's type", v.ExplainServer, `{"v":1,"type":"ping"}`, `frame: /type must be one of state, transaction, lifecycle, proposal-result, pong, authenticated, error, not "ping"`},
		{"a type of a wrong type", v.ExplainClient, `{"v":1,"type":["ping"]}`, "frame: /type must be one of subscribe, unsubscribe, propose, ping, authenticate, not an array"},
		{"no object", v.ExplainClient, `["ping"]`, "frame: must be a JSON object, not an array"},
		{"nothing", v.ExplainClient, ``, "frame: is empty, but must be a JSON object"},
		{"no JSON", v.ExplainClient, `{"v":1,"x":[nil]}`, "frame: /x/0 is not strict JSON at byte 13: invalid character 'i' in literal null (expecting 'u')"},
		{"cut off", v.ExplainClient, `{"v":1,"type":"pi`, "frame: /type is not strict JSON at byte 17: ends too early"},
		{"a name twice", v.ExplainClient, `{"v":1,"a":{"b c":1,"b c":2}}`, `frame: "/a/b c" is there twice`},
		{"more after it", v.ExplainClient, `{"v":1} {}`, "frame: is followed by more bytes, from byte 8 on"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			err := test.explain([]byte(test.frame))
			if err == nil || err.Error() != test.want {
				t.Errorf("got  %v\nwant %s", err, test.want)
			}
		})
	}
}

func TestExplain_Error(t *testing.T) {
	err := newValidator(t).ExplainClient([]byte(`{"v":1,"type":"subscribe","shareDataId":5}`))
	var explanation *schemas.Error
	if !errors.As(err, &explanation) {
		t.Fatalf("%v, want a *schemas.Error", err)
	}
	want := schemas.Problem{Pointer: "/shareDataId", Message: "must be a string, not a number"}
	if explanation.Type != "subscribe" || len(explanation.Problems) != 1 || explanation.Problems[0] != want {
		t.Errorf("got %+v, want %+v", explanation, want)
	}
}

func TestExplain_HostileFrames(t *testing.T) {
	v := newValidator(t)
	huge := strings.Repeat("9", 1<<20)
	tests := []struct{ name, frame, want string }{
		{"too large", strings.Repeat(" ", schemas.MaxBytes+1), "has 16777217 bytes"},
		{"too deep", `{"v":1,"x":` + strings.Repeat("[", 1<<20), "exceeded max depth"},
		{"number of many digits", `{"v":` + huge + `,"type":"ping"}`, "/v is a number written too long"},
		{"number of many decimals", `{"v":0.` + huge + `e-99999,"type":"ping"}`, "/v is a number written too long"},
		{"number of many zeros", `{"v":1e999999,"type":"ping"}`, "/v is a number written too long"},
		{"number of few digits behind many zeros", `{"v":3e-999999,"type":"ping"}`, "/v is a number written too long"},
		{"number in an unknown member", `{"v":1,"x":1e999999,"type":"ping"}`, "/correlationId is missing"},
		{"long string", `{"v":1,"type":"` + strings.Repeat("é", 1<<20) + `"}`, `ééé"...`},
		{"long names", strings.Repeat(`{"`+strings.Repeat("n", 1<<16)+`":`, 8) + "x", "is not strict JSON"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			err := v.ExplainClient([]byte(test.frame))
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Fatalf("%v, want %q in it", err, test.want)
			}
			if len(err.Error()) > 500 {
				t.Errorf("%d bytes: %v", len(err.Error()), err)
			}
		})
	}
}

// What no schema checks is not built: a JSON tree in memory takes many times the
// size of the text.
func TestExplain_Allocations(t *testing.T) {
	v := newValidator(t)
	items := strings.Repeat(`[1,"a",{}],`, 10_000)
	frame := fmt.Appendf(nil, `{"v":1,"type":"propose","proposedData":[%s0],"unknown":[%s0]}`, items, items)
	got := testing.AllocsPerRun(5, func() {
		if err := v.ExplainClient(frame); err == nil {
			t.Fatal("an incomplete frame is taken")
		}
	})
	if got > 500 {
		t.Errorf("%v allocations for 80,000 values that do not matter", got)
	}
}

func TestExplain_Concurrent(t *testing.T) {
	v := newValidator(t)
	var group sync.WaitGroup
	for worker := range 8 {
		group.Go(func() {
			for range 50 {
				want := fmt.Sprintf(`frame: /type must be one of subscribe, unsubscribe, propose, ping, authenticate, not "%d"`, worker)
				if err := v.ExplainClient(fmt.Appendf(nil, `{"v":1,"type":"%d"}`, worker)); err == nil || err.Error() != want {
					t.Errorf("got %v, want %s", err, want)
				}
				if err := v.ExplainServer([]byte(`{"v":1,"type":"pong","correlationId":"c"}`)); err != nil {
					t.Error(err)
				}
			}
		})
	}
	group.Wait()
}

func FuzzExplain(f *testing.F) {
	v := newValidator(f)
	for _, frame := range []string{
		`{"v":1,"type":"ping","correlationId":"c"}`, `{"v":1e9,"type":"state","revision":-1e-9,"lastTransactionId":[]}`,
		`{"type":"lifecycle","event":"\u2028"}`, `[{"a":1,"a":2}]`, `{"":{"~/":[0,x]}}`, "\xff", `{"v":1} x`,
	} {
		f.Add([]byte(frame))
	}
	f.Fuzz(func(t *testing.T, frame []byte) {
		before := bytes.Clone(frame)
		for _, err := range []error{v.ExplainClient(frame), v.ExplainServer(frame)} {
			if err == nil {
				continue
			}
			if text := err.Error(); len(text) > 5000 || strings.ContainsAny(text, "\n\r") {
				t.Errorf("%d bytes: %q", len(text), text)
			}
			var explanation *schemas.Error
			if !errors.As(err, &explanation) || len(explanation.Problems) == 0 {
				t.Errorf("%#v is no explanation", err)
			}
		}
		if !bytes.Equal(frame, before) {
			t.Errorf("explaining changed the frame %q to %q", before, frame)
		}
	})
}
