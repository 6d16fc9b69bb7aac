package realtime_test

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/safe-go/safe/realtime"
	"github.com/safe-go/safe/schemas/codes"
	"github.com/safe-go/safe/sharedata"
)

// request makes a request and returns the response with its body.
func (ts *testServer) request(method, path, body string, header ...string) (*http.Response, string) {
	ts.Helper()
	r, err := http.NewRequestWithContext(ts.Context(), method, ts.url+path, strings.NewReader(body))
	if err != nil {
		ts.Fatal(err)
	}
	for i := 0; i < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	response, err := ts.client.Do(r)
	if err != nil {
		ts.Fatal(err)
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		ts.Fatal(err)
	}
	return response, string(text)
}

func TestPropose_HTTP(t *testing.T) {
	refuseD := func(_ context.Context, _ *sharedata.Caller, id, _ string) error {
		if id == "d" {
			return &realtime.Refusal{Code: codes.Unauthorized}
		}
		return nil
	}
	ts := serve(t, &realtime.Options{AuthorizePropose: refuseD, MaxMessageBytes: 10_000})
	ts.create("c")
	ts.create("d")
	const frame = `{"shareDataId":"c","functionId":"add","proposedData":{"by":1}`
	for _, test := range []struct {
		name, body string
		status     int
		contains   string
	}{
		{"accepted", frame + "}", 200, `"correlationId":"propose","accepted":true,"transactionId":`},
		{"whole frame", ` {"v":1,"type":"propose","correlationId":"mine",` + frame[1:] + "}", 200, `"correlationId":"mine","accepted":true`},
		{"rejected", strings.Replace(frame, ":1}", ":-9}", 1) + "}", 200, `"accepted":false,"transactionId":`},
		{"first of a key", frame + `,"idempotencyKey":"k"}`, 200, `"accepted":true`},
		{"again by its key", frame + `,"idempotencyKey":"k"}`, 200, `"duplicate":true`},
		{"invalid input", strings.Replace(frame, ":1}", `:"x"}`, 1) + "}", 422, codes.InvalidInput},
		{"unknown ShareData", strings.Replace(frame, `"c"`, `"x"`, 1) + "}", 404, codes.UnknownShareData},
		{"unknown function", strings.Replace(frame, `"add"`, `"x"`, 1) + `,"correlationId":"mine"}`, 404, `"correlationId":"mine"`},
		{"not allowed", strings.Replace(frame, `"c"`, `"d"`, 1) + "}", 403, codes.Unauthorized},
		{"reserved id", strings.Replace(frame, `"c"`, `"$revocations"`, 1) + "}", 404, codes.UnknownShareData},
		{"key too long", frame + `,"idempotencyKey":"` + strings.Repeat("k", 300) + `"}`, 400, `"code":`},
		{"other frame", `{"type":"ping"}`, 400, codes.InvalidMessage},
		{"other version", frame + `,"v":2}`, 400, codes.InvalidMessage},
		{"member twice", frame + `,"v":1,"v":1}`, 400, codes.InvalidMessage},
		{"empty object", `{}`, 400, codes.InvalidMessage},
		{"not an object", `[]`, 400, codes.InvalidMessage},
		{"null", `null`, 400, codes.InvalidMessage},
		{"no JSON", `{`, 400, codes.InvalidMessage},
		{"nothing", ``, 400, codes.InvalidMessage},
		{"too large", frame + `,"x":"` + strings.Repeat("x", 10_000) + `"}`, 413, codes.InvalidMessage},
	} {
		t.Run(test.name, func(t *testing.T) {
			response, body := ts.request("POST", "/realtime/propose", test.body)
			kind := "application/json"
			if test.status != 200 {
				kind = "application/problem+json"
			}
			if response.StatusCode != test.status || !strings.Contains(body, test.contains) || response.Header.Get("Content-Type") != kind || !json.Valid([]byte(body)) {
				t.Errorf("got %s %q %s", response.Status, response.Header.Get("Content-Type"), body)
			}
		})
	}
	if at := ts.cursor("c"); at.Revision != 5 {
		t.Errorf("the history ends at %v, want 5 entries", at)
	}
	if open := ts.server.Connections(); len(open) != 0 {
		t.Errorf("%d connections are left", len(open))
	}
}

// The requests of one address are counted together.
func TestPropose_RateLimited(t *testing.T) {
	ts := serve(t, &realtime.Options{MessagesPerSecond: 1, MessageBurst: 2})
	ts.create("c")
	got := map[int]int{}
	for range 5 {
		response, _ := ts.request("POST", "/propose", `{"shareDataId":"c","functionId":"add","proposedData":{"by":1}}`)
		if got[response.StatusCode]++; response.StatusCode == 429 && response.Header.Get("Retry-After") == "" {
			t.Error("no Retry-After")
		}
	}
	if got[200] < 2 || got[429] == 0 {
		t.Errorf("got %v", got)
	}
}

// A proposal that took effect is not answered as one that did not: not where its caller
// is revoked, nor where the server closes, before it has its result.
func TestPropose_EndedWithoutResult(t *testing.T) {
	for status, end := range map[int]func(ts *testServer){
		http.StatusUnauthorized: func(ts *testServer) {
			if err := ts.server.Revoke(ts.Context(), realtime.Revocation{Subject: "bob"}); err != nil {
				ts.Error(err)
			}
		},
		http.StatusGatewayTimeout: func(ts *testServer) { go ts.server.Close() },
	} {
		t.Run(http.StatusText(status), func(t *testing.T) {
			var c callers
			c.issue("token", "bob", time.Hour)
			store := newSlowStore(t)
			ts := serveStore(t, store, &realtime.Options{Authenticate: c.authenticate})
			ts.create("c")
			store.slow.Store(true)
			var ending sync.WaitGroup
			defer ending.Wait()
			defer store.release()
			ending.Go(func() {
				<-store.stored
				end(ts)
			})
			response, body := ts.request("POST", "/realtime/propose", `{"shareDataId":"c","functionId":"add","proposedData":{"by":1}}`, "Authorization", "token")
			if response.StatusCode != status || !strings.Contains(body, `"code":"`+codes.OutcomeUnknown+`"`) {
				t.Errorf("got %s %s", response.Status, body)
			}
			store.release()
			if at := ts.add("c", 1); at.Revision != 3 {
				t.Errorf("the proposal after it is at %v", at)
			}
		})
	}
}

func TestState_HTTP(t *testing.T) {
	ts := serve(t, nil)
	ts.create("c")
	at := ts.add("c", 2)
	response, body := ts.request("GET", "/realtime/state?shareDataId=c", "")
	tag := response.Header.Get("ETag")
	if response.StatusCode != 200 || tag != `"`+at.String()+`"` || !strings.Contains(body, `"currentState":{"value":2}`) {
		t.Errorf("got %s %s %s", response.Status, tag, body)
	}
	for _, match := range []string{tag, "W/" + tag, `"x", ` + tag, "*"} {
		if response, body := ts.request("GET", "/realtime/state?shareDataId=c", "", "If-None-Match", match); response.StatusCode != 304 || body != "" {
			t.Errorf("%s: %s %s", match, response.Status, body)
		}
	}
	ts.add("c", 1)
	if response, _ := ts.request("GET", "/realtime/state?shareDataId=c", "", "If-None-Match", tag); response.StatusCode != 200 {
		t.Errorf("after a change: %s", response.Status)
	}
	if response, body := ts.request("HEAD", "/realtime/state?shareDataId=c", ""); response.StatusCode != 200 || body != "" {
		t.Errorf("HEAD: %s %s", response.Status, body)
	}
	for path, status := range map[string]int{"/state": 400, "/state?shareDataId=x": 404, "/state?shareDataId=$revocations": 404} {
		if response, body := ts.request("GET", path, ""); response.StatusCode != status {
			t.Errorf("%s: %s %s", path, response.Status, body)
		}
	}
}

func TestHistory_HTTP(t *testing.T) {
	ts := serve(t, nil)
	ts.create("c")
	ts.add("c", 5)
	if _, err := ts.manager.Update(t.Context(), "c", counter{Value: 50}); err != nil {
		t.Fatal(err)
	}
	var got []string
	since := ""
	for pages := 0; ; pages++ {
		_, body := ts.request("GET", "/realtime/history?limit=3&shareDataId=c&since="+since, "")
		var page struct {
			Entries []struct {
				Type, Event string
				Revision    uint64
			}
			Next string
			More bool
		}
		if err := json.Unmarshal([]byte(body), &page); err != nil || pages > 5 {
			t.Fatal(err, body)
		}
		for _, e := range page.Entries {
			got = append(got, e.Type+e.Event)
		}
		if since = page.Next; !page.More {
			break
		}
	}
	if want := "lifecyclecreated transaction transaction transaction transaction transaction lifecycleupdated"; strings.Join(got, " ") != want {
		t.Errorf("got %v", got)
	}
	response, body := ts.request("GET", "/realtime/history?shareDataId=c", "", "Accept", "application/jsonl")
	if lines := strings.Count(body, "\n"); lines != 7 || response.Header.Get("Safe-Next-Cursor") != ts.cursor("c").String() {
		t.Errorf("%d lines, next %q", lines, response.Header.Get("Safe-Next-Cursor"))
	}
	for query, status := range map[string]int{
		"shareDataId=x": 404, "shareDataId=c&since=5-1": 410, "shareDataId=c&since=x": 400, "shareDataId=c&limit=0": 400, "shareDataId=c&activity=true": 403,
	} {
		if response, body := ts.request("GET", "/history?"+query, ""); response.StatusCode != status {
			t.Errorf("%s: %s %s", query, response.Status, body)
		}
	}
}

func TestOrigin_HTTP(t *testing.T) {
	ts := serve(t, &realtime.Options{OriginPatterns: []string{"*.example.com", "https://app.test"}})
	ts.create("c")
	for origin, allowed := range map[string]bool{
		"": true, ts.url: true, "https://a.example.com": true, "http://A.EXAMPLE.com": true, "https://app.test": true,
		"http://app.test": false, "https://example.com": false, "null": false, "http://[": false,
	} {
		response, _ := ts.request("GET", "/realtime/state?shareDataId=c", "", "Origin", origin)
		preflight, _ := ts.request("OPTIONS", "/realtime/propose", "", "Origin", origin, "Access-Control-Request-Method", "POST")
		if got := response.StatusCode == 200; got != allowed {
			t.Errorf("%s: %s", origin, response.Status)
		}
		if origin == "" {
			continue
		}
		for _, r := range []*http.Response{response, preflight} {
			if got := r.Header.Get("Access-Control-Allow-Origin"); (got == origin) != allowed || r.Header.Get("Vary") != "Origin" {
				t.Errorf("%s: allowed is %q in %s", origin, got, r.Status)
			}
		}
		if (preflight.StatusCode == 204) != allowed {
			t.Errorf("preflight of %s: %s", origin, preflight.Status)
		}
	}
}
