package main

import (
	"net/http"
	"strings"
	"testing"
)

// Bad input of every field of a publication gets an error, and nothing is lost.
func TestPublish_BadInput(t *testing.T) {
	addr := start(t, "")
	c := join(t, addr)
	c.subscribe("a", "", false)
	const good = `{"channel":"a","data":1}`
	for name, bad := range map[string]struct {
		body   string
		header string
		status int
	}{
		"no key":              {good, "", 401},
		"another key":         {good, "x-api-key: devkey2", 401},
		"empty":               {``, "x-api-key: devkey", 400},
		"no JSON":             {`{"channel":"a"`, "x-api-key: devkey", 400},
		"no object":           {`["a",1]`, "x-api-key: devkey", 400},
		"bad UTF-8":           {"{\"channel\":\"a\",\"data\":\"\xff\"}", "x-api-key: devkey", 400},
		"lone surrogate":      {`{"channel":"a","data":"\ud800"}`, "x-api-key: devkey", 400},
		"deep nesting":        {`{"channel":"a","data":` + strings.Repeat("[", 5000) + strings.Repeat("]", 5000) + `}`, "x-api-key: devkey", 400},
		"no channel":          {`{"data":1}`, "x-api-key: devkey", 400},
		"channel a number":    {`{"channel":7,"data":1}`, "x-api-key: devkey", 400},
		"channel too long":    {`{"channel":"` + strings.Repeat("a", 600) + `","data":1}`, "x-api-key: devkey", 400},
		"channel of controls": {`{"channel":"a\n","data":1}`, "x-api-key: devkey", 400},
		"no data":             {`{"channel":"a"}`, "x-api-key: devkey", 400},
		"too large":           {`{"channel":"a","data":"` + strings.Repeat("a", maxPublication) + `"}`, "x-api-key: devkey", 413},
	} {
		status, answer := post(t, addr, bad.body, bad.header)
		if status != bad.status || !strings.HasPrefix(answer, `{"ok":false,"error":{"code":`) {
			t.Errorf("%s: %d %s", name, status, answer)
		}
	}
	key := "Idempotency-Key: " + strings.Repeat("k", 1025)
	if status, answer := post(t, addr, good, "x-api-key: devkey", key); status != http.StatusBadRequest || !strings.HasPrefix(answer, `{"ok":false,"error":{"code":400,`) {
		t.Errorf("a long key: %d %s", status, answer)
	}
	if status, _ := request(t, "GET", "http://"+addr+"/api/publish", ""); status != http.StatusMethodNotAllowed {
		t.Errorf("GET: %d", status)
	}
	// The data may be any JSON value.
	for _, data := range []string{`null`, `"<&>"`, `[1, {"a": "ü"}]`, `"` + strings.Repeat("a", maxPublication/2) + `"`} {
		if status, answer := post(t, addr, `{"channel":"a","data":`+data+`}`, "x-api-key: devkey"); status != http.StatusOK || answer != `{"ok":true,"delivered":1}` {
			t.Errorf("%.40s: %d %s", data, status, answer)
		}
		c.want(`{"method":"publication","params":{"channel":"a","data":` + data + `}}`)
	}
}

// Data is not escaped for HTML, which would make it larger.
func TestPublish_NoEscape(t *testing.T) {
	addr := start(t, "")
	c := join(t, addr)
	c.subscribe("<a>", "", false)
	post(t, addr, `{"channel":"<a>","data":"<&>"}`, "x-api-key: devkey")
	if _, message, err := c.read(); err != nil || !strings.Contains(string(message), `"channel":"<a>","data":"<&>"`) {
		t.Errorf("%s, %v", message, err)
	}
}

// Delivered is the number of sessions of the node that are subscribed.
func TestPublish_Delivered(t *testing.T) {
	addr := start(t, "")
	var clients [3]*client
	for i := range clients {
		publishData(t, addr, "a", i, i, i)
		clients[i] = join(t, addr)
		clients[i].subscribe("a", "", false)
	}
	join(t, addr).subscribe("b", "", false)
	publishData(t, addr, "a", 3, 3, 3)
	clients[0].wantData("a", 1, 3)
	clients[2].wantData("a", 3, 3)
	clients[1].say(`{"id":3,"method":"unsubscribe","params":{"channel":"a"}}`)
	clients[1].wantData("a", 2, 3)
	clients[1].want(`{"id":3,"result":{"unsubscribed":true}}`)
	publishData(t, addr, "a", 4, 4, 2)
}

// A publication that is repeated with its key happens once.
func TestPublish_Once(t *testing.T) {
	addr := start(t, "")
	c := join(t, addr)
	c.subscribe("a", "", false)
	for range 2 {
		if status, answer := post(t, addr, `{"channel":"a","data":1}`, "x-api-key: devkey", "Idempotency-Key: k"); status != http.StatusOK || answer != `{"ok":true,"delivered":1}` {
			t.Errorf("%d %s", status, answer)
		}
	}
	publishData(t, addr, "a", 2, 2, 1)
	c.wantData("a", 1, 2)
}

func TestStats(t *testing.T) {
	addr := start(t, "")
	join(t, addr)
	status, answer := request(t, "GET", "http://"+addr+"/api/stats", "", "x-api-key: devkey")
	if want := `{"sessions":1,"closed":0,"skipped":0,"unforwarded":0}`; status != http.StatusOK || answer != want {
		t.Errorf("%d %s", status, answer)
	}
	if status, _ := request(t, "GET", "http://"+addr+"/api/stats", ""); status != http.StatusUnauthorized {
		t.Errorf("without the key: %d", status)
	}
}
