package main

import (
	"bytes"
	"crypto/sha256"
	"crypto/sha512"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"
)

// TestDocument drives the examples of Turbine's document literally.
func TestDocument(t *testing.T) {
	addr := start(t, "")
	if status, answer := request(t, "GET", "http://"+addr+"/healthz", ""); status != http.StatusOK || answer != "ok" {
		t.Errorf("/healthz: %d %q", status, answer)
	}
	c := dial(t, addr)
	claims := fmt.Sprintf(`{"sub":"user-123","exp":%d,"channels":["chat:lobby","notifications:user-123"]}`, time.Now().Add(time.Minute).Unix())
	c.say(`{ "id": 1, "method": "connect", "params": { "token": "` + token(devSecret, claims) + `" } }`)
	c.want(`{ "id": 1, "result": { "connected": true } }`)
	c.say(`{ "id": 2, "method": "subscribe", "params": { "channel": "chat:lobby" } }`)
	c.want(`{ "id": 2, "result": { "subscribed": true, "recovered": false } }`)
	for _, text := range []string{"hello world", "hello"} {
		status, answer := post(t, addr, `{ "channel": "chat:lobby", "data": { "text": "`+text+`" } }`, "x-api-key: devkey")
		if status != http.StatusOK || answer != `{"ok":true,"delivered":1}` {
			t.Errorf("publish: %d %s", status, answer)
		}
		c.want(`{ "method": "publication", "params": { "channel": "chat:lobby", "data": { "text": "` + text + `" } } }`)
	}
	c.subscribe("notifications:user-123", "", false)
	publishData(t, addr, "notifications:user-123", 1, 1, 1)
	c.wantData("notifications:user-123", 1, 1)
	c.say(`{ "id": 2, "method": "subscribe", "params": { "channel": "other" } }`)
	c.want(`{ "id": 2, "error": { "code": 403, "message": "forbidden" } }`)
	c.say(`{ "id": 3, "method": "unsubscribe", "params": { "channel": "chat:lobby" } }`)
	c.want(`{ "id": 3, "result": { "unsubscribed": true } }`)
	publishData(t, addr, "chat:lobby", 1, 1, 0)
	c.say(`{ "id": 4, "method": "ping" }`)
	c.want(`{ "id": 4, "result": { "pong": true } }`)
}

// Tokens are checked as documented: HS256, sub, exp, and a list of channels.
func TestConnect_BadTokens(t *testing.T) {
	// The secret is long enough for HS512 too.
	secret := strings.Repeat("s", 64)
	c := dial(t, startNode(t, environment{secretVariable: secret, urlVariable: ""}, io.Discard))
	const good = `{"sub":"a","exp":4000000000,"channels":[]}`
	for _, method := range []string{"subscribe", "unsubscribe"} {
		c.say(`{"id":1,"method":"` + method + `","params":{"channel":"a"}}`)
		c.want(`{"id":1,"error":{"code":401,"message":"not authenticated"}}`)
	}
	for name, bad := range map[string]string{
		"nonsense":            "nonsense",
		"another secret":      token("othersecret", good),
		"expired":             token(secret, `{"sub":"a","exp":1700000000,"channels":[]}`),
		"no sub":              token(secret, `{"exp":4000000000,"channels":[]}`),
		"empty sub":           token(secret, `{"sub":"","exp":4000000000,"channels":[]}`),
		"sub is too long":     token(secret, `{"sub":"`+strings.Repeat("a", 256)+`","exp":4000000000,"channels":[]}`),
		"another iss":         token(secret, `{"sub":"a","exp":4000000000,"channels":[],"iss":"b"}`),
		"another aud":         token(secret, `{"sub":"a","exp":4000000000,"channels":[],"aud":["b"]}`),
		"over 8 KiB":          token(secret, `{"sub":"a","exp":4000000000,"channels":["`+strings.Repeat("a", 8<<10)+`"]}`),
		"sub is a number":     token(secret, `{"sub":7,"exp":4000000000,"channels":[]}`),
		"no exp":              token(secret, `{"sub":"a","channels":[]}`),
		"exp is a string":     token(secret, `{"sub":"a","exp":"4000000000","channels":[]}`),
		"no channels":         token(secret, `{"sub":"a","exp":4000000000}`),
		"channels is null":    token(secret, `{"sub":"a","exp":4000000000,"channels":null}`),
		"channels is a text":  token(secret, `{"sub":"a","exp":4000000000,"channels":"a"}`),
		"channels of numbers": token(secret, `{"sub":"a","exp":4000000000,"channels":[7]}`),
		"HS512":               sign("HS512", sha512.New, secret, good),
		"HS512 as HS256":      sign("HS256", sha512.New, secret, good),
		"HS256 as none":       sign("none", sha256.New, secret, good),
		"none":                unsigned(sign("none", sha256.New, secret, good)),
		"unsigned":            unsigned(token(secret, good)),
	} {
		c.say(`{"id":2,"method":"connect","params":{"token":"` + bad + `"}}`)
		if got := c.next(); !sameJSON(got, `{"id":2,"error":{"code":401,"message":"not authenticated"}}`) {
			t.Errorf("%s: %s", name, got)
		}
	}
	connect := func(claims, reply string) {
		t.Helper()
		c.say(`{"id":3,"method":"connect","params":{"token":"` + token(secret, claims) + `"}}`)
		c.want(reply)
	}
	connect(`{"sub":"a","exp":4000000000,"channels":["a*"],"iss":"turbine","aud":["SHAREDATA"]}`, `{"id":3,"result":{"connected":true}}`)
	connect(`{"sub":"b","exp":4000000000,"channels":[]}`, `{"id":3,"error":{"code":401,"message":"not authenticated"}}`)
	c.say(`{"id":4,"method":"subscribe","params":{"channel":"ab"}}`) // a name is no pattern
	c.want(`{"id":4,"error":{"code":403,"message":"forbidden"}}`)
	c.subscribe("a*", "", false)
	connect(`{"sub":"a","exp":4000000000,"channels":["b"]}`, `{"id":null,"error":{"code":403,"message":"forbidden","channel":"a*"}}`)
	c.want(`{"id":3,"result":{"connected":true}}`)
	connect(fmt.Sprintf(`{"sub":"a","exp":%d,"channels":["b"]}`, time.Now().Unix()-4), `{"id":3,"result":{"connected":true}}`)
	c.wantClose(4002) // when the leeway is over
}

// Bad input of every field gets the documented error, and the session goes on.
func TestCommands_BadInput(t *testing.T) {
	addr := start(t, "", "-max-subscriptions", "2")
	c := join(t, addr)
	c.subscribe("a", "", false)
	for name, bad := range map[string]struct {
		message string
		id      string
	}{
		"empty":                {``, "null"},
		"no JSON":              {`{"id":1,`, "null"},
		"no object":            {`[1,"ping"]`, "null"},
		"bad UTF-8":            {"{\"id\":1,\"method\":\"ping\xff\"}", "null"},
		"no id":                {`{"method":"ping"}`, "null"},
		"id is a string":       {`{"id":"1","method":"ping"}`, "null"},
		"id is an object":      {`{"id":{},"method":"ping"}`, "null"},
		"id is endless":        {`{"id":` + strings.Repeat("1", 100) + `,"method":"ping"}`, "null"},
		"no method":            {`{"id":7}`, "7"},
		"method is a number":   {`{"id":7,"method":7}`, "7"},
		"unknown method":       {`{"id":7,"method":"publish","params":{}}`, "7"},
		"no params":            {`{"id":7,"method":"subscribe"}`, "7"},
		"params is a list":     {`{"id":7,"method":"subscribe","params":["a"]}`, "7"},
		"no channel":           {`{"id":7,"method":"subscribe","params":{}}`, "7"},
		"channel is empty":     {`{"id":7,"method":"subscribe","params":{"channel":""}}`, "7"},
		"channel is a number":  {`{"id":7,"method":"unsubscribe","params":{"channel":7}}`, "7"},
		"channel with a NUL":   {`{"id":7,"method":"subscribe","params":{"channel":"a\u0000"}}`, "7"},
		"channel is too long":  {`{"id":7,"method":"subscribe","params":{"channel":"` + strings.Repeat("a", 600) + `"}}`, "7"},
		"recover is a number":  {`{"id":7,"method":"subscribe","params":{"channel":"a","recover":7}}`, "7"},
		"no token":             {`{"id":7,"method":"connect","params":{}}`, "7"},
		"token is a number":    {`{"id":7,"method":"connect","params":{"token":7}}`, "7"},
		"nesting without end":  {`{"id":7,"method":"ping","params":` + strings.Repeat("[", 20_000), "null"},
		"ping with bad params": {`{"id":7,"method":"ping","params":7}`, "7"},
	} {
		c.say(bad.message)
		if got := c.next(); !strings.Contains(got, `"code":400`) || !strings.Contains(got, `"id":`+bad.id) {
			t.Errorf("%s: %s", name, got)
		}
	}
	c.send(binaryMessage, []byte(`{"id":8,"method":"ping","params":null}`))
	c.want(`{"id":8,"result":{"pong":true}}`)
	c.subscribe("$b <&> ü", "", false)
	c.say(`{"id":9,"method":"subscribe","params":{"channel":"c"}}`)
	if got := c.next(); !strings.Contains(got, `"code":429`) || !strings.Contains(got, `"id":9`) {
		t.Errorf("the third subscription: %s", got)
	}
	c.say(`{"id":10,"method":"unsubscribe","params":{"channel":"c"}}`)
	c.want(`{"id":10,"result":{"unsubscribed":true}}`)
	publishData(t, addr, "a", 1, 1, 1)
	c.wantData("a", 1, 1)
	publishData(t, addr, "$b <&> ü", 2, 2, 1)
	c.wantData("$b <&> ü", 2, 2)
	c.send(textMessage, []byte(strings.Repeat(" ", 65_535)))
	c.want(`{"id":null,"error":{"code":400,"message":"bad command: send {\"id\",\"method\",\"params\"} as JSON"}}`)
	c.send(textMessage, []byte(strings.Repeat(" ", 65_537)))
	c.wantClose(4004)
}

// Commands above the limit of the server are refused, and a session that goes on is closed.
// Pongs, which count too and have no replies, use the limit up even on a slow machine.
func TestCommands_TooMany(t *testing.T) {
	c := join(t, start(t, ""))
	pongs := bytes.Repeat(frame(pongFrame, nil), 200)
	batch := append(pongs, frame(textMessage, []byte(`{"id":5,"method":"ping"}`))...)
	go c.conn.Write(bytes.Repeat(batch, 500)) // fails when the session is closed
	reply := c.next()
	for sameJSON(reply, `{"id":5,"result":{"pong":true}}`) {
		reply = c.next()
	}
	if !strings.HasPrefix(reply, `{"error":{"code":429,"message":"too many commands; send it again in `) || !strings.HasSuffix(reply, `"},"id":5}`) {
		t.Errorf("got %s", reply)
	}
	c.wantClose(1008)
}
