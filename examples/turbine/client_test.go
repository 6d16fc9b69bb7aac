package main

import (
	"bufio"
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"hash"
	"io"
	"net"
	"net/http"
	"reflect"
	"strings"
	"testing"
	"time"
)

// This file is a client of Turbine that knows nothing but its document: WebSocket frames
// (RFC 6455) on a socket, and JSON. It shares no code with the server.

// wait bounds every wait of a test.
const wait = 20 * time.Second

// Opcodes of frames (RFC 6455 section 5.2).
const (
	textMessage   = 1
	binaryMessage = 2
	closeFrame    = 8
	pongFrame     = 10
)

type client struct {
	*testing.T
	conn net.Conn
	in   *bufio.Reader
	last string // the cursor of the last result or publication
}

// dial connects to a node, of which the address is given as HOST:PORT.
func dial(t *testing.T, addr string) *client {
	t.Helper()
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	conn.SetDeadline(time.Now().Add(wait))
	fmt.Fprintf(conn, "GET /ws HTTP/1.1\r\nHost: %s\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nOrigin: https://elsewhere.example\r\n"+
		"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: MDEyMzQ1Njc4OWFiY2RlZg==\r\n\r\n", addr)
	in := bufio.NewReader(conn)
	response, err := http.ReadResponse(in, nil)
	if err != nil || response.StatusCode != http.StatusSwitchingProtocols {
		t.Fatal(response, err)
	}
	return &client{T: t, conn: conn, in: in}
}

// join connects with a token for everything.
func join(t *testing.T, addr string) *client {
	t.Helper()
	c := dial(t, addr)
	c.say(`{"id":1,"method":"connect","params":{"token":"` + token(devSecret, `{"sub":"user-123","exp":4000000000,"channels":[]}`) + `"}}`)
	c.want(`{"id":1,"result":{"connected":true}}`)
	return c
}

// subscribe subscribes to a channel, and recovers from a cursor unless that is empty.
func (c *client) subscribe(channel, cursor string, recovered bool) {
	c.Helper()
	c.say(fmt.Sprintf(`{"id":2,"method":"subscribe","params":{"channel":%q,"recover":%q}}`, channel, cursor))
	c.want(fmt.Sprintf(`{"id":2,"result":{"subscribed":true,"recovered":%t}}`, recovered))
}

func (c *client) say(message string) { c.send(textMessage, []byte(message)) }

// send sends a message in a masked frame (section 5.3).
func (c *client) send(opcode byte, message []byte) {
	c.Helper()
	if _, err := c.conn.Write(frame(opcode, message)); err != nil {
		c.Fatal(err)
	}
}

func frame(opcode byte, message []byte) []byte {
	mask := []byte{1, 2, 3, 4}
	frame := []byte{0x80 | opcode, 0x80 | byte(len(message))}
	switch {
	case len(message) > 65_535:
		frame = binary.BigEndian.AppendUint64([]byte{0x80 | opcode, 0x80 | 127}, uint64(len(message)))
	case len(message) > 125:
		frame = binary.BigEndian.AppendUint16([]byte{0x80 | opcode, 0x80 | 126}, uint16(len(message)))
	}
	frame = append(frame, mask...)
	for i, b := range message {
		frame = append(frame, b^mask[i%4])
	}
	return frame
}

// read reads a frame that is no ping.
func (c *client) read() (opcode byte, message []byte, err error) {
	var header [2]byte
	if _, err := io.ReadFull(c.in, header[:]); err != nil {
		return 0, nil, err
	}
	n := uint64(header[1])
	switch n {
	case 126:
		var length uint16
		err = binary.Read(c.in, binary.BigEndian, &length)
		n = uint64(length)
	case 127:
		err = binary.Read(c.in, binary.BigEndian, &n)
	}
	if err != nil || n > 16<<20 || header[0]&0x80 == 0 || header[1]&0x80 != 0 {
		return 0, nil, fmt.Errorf("frame %x, %v", header, err)
	}
	message = make([]byte, n)
	_, err = io.ReadFull(c.in, message)
	return header[0] & 0xF, message, err
}

// next reads a message, and takes the cursor out of it.
func (c *client) next() string {
	c.Helper()
	opcode, message, err := c.read()
	if err != nil || opcode != textMessage {
		c.Fatalf("opcode %d, %.200q, %v", opcode, message, err)
	}
	var m map[string]any
	if err := json.Unmarshal(message, &m); err != nil {
		c.Fatalf("%.200q: %v", message, err)
	}
	for _, member := range []string{"result", "params"} {
		if object, ok := m[member].(map[string]any); ok && object["cursor"] != nil {
			c.last = object["cursor"].(string)
			delete(object, "cursor")
		}
	}
	rest, err := json.Marshal(m)
	if err != nil {
		c.Fatal(err)
	}
	return string(rest)
}

// want reads messages, which are compared as JSON but for the cursor.
func (c *client) want(messages ...string) {
	c.Helper()
	for _, want := range messages {
		if got := c.next(); !sameJSON(got, want) {
			c.Fatalf("got  %.300s\nwant %.300s", got, want)
		}
	}
}

// wantData reads publications to a channel with numbers as data.
func (c *client) wantData(channel string, from, to int) {
	c.Helper()
	for n := from; n <= to; n++ {
		c.want(fmt.Sprintf(`{"method":"publication","params":{"channel":%q,"data":%d}}`, channel, n))
	}
}

// wantClose reads a close frame.
func (c *client) wantClose(code int) {
	c.Helper()
	for {
		opcode, message, err := c.read()
		if err != nil {
			c.Fatalf("no close frame: %v", err)
		}
		if opcode == closeFrame {
			if got := int(binary.BigEndian.Uint16(message)); got != code {
				c.Fatalf("closed with %d %q, want %d", got, message[2:], code)
			}
			return
		}
	}
}

func sameJSON(a, b string) bool {
	var x, y any
	return json.Unmarshal([]byte(a), &x) == nil && json.Unmarshal([]byte(b), &y) == nil && reflect.DeepEqual(x, y)
}

// token returns a token as the document has it.
func token(secret, claims string) string { return sign("HS256", sha256.New, secret, claims) }

// sign signs claims with an HMAC, and says which algorithm that is (RFC 7515).
func sign(algorithm string, hash func() hash.Hash, secret, claims string) string {
	encode := base64.RawURLEncoding.EncodeToString
	signed := encode([]byte(`{"alg":"`+algorithm+`","typ":"JWT"}`)) + "." + encode([]byte(claims))
	mac := hmac.New(hash, []byte(secret))
	mac.Write([]byte(signed))
	return signed + "." + encode(mac.Sum(nil))
}

// unsigned returns a token with an empty signature.
func unsigned(token string) string { return token[:strings.LastIndex(token, ".")+1] }

// post publishes, with headers as NAME: VALUE.
func post(t *testing.T, addr, body string, headers ...string) (status int, answer string) {
	t.Helper()
	return request(t, "POST", "http://"+addr+"/api/publish", body, append([]string{"Content-Type: application/json"}, headers...)...)
}

func request(t *testing.T, method, url, body string, headers ...string) (status int, answer string) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), method, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	for _, h := range headers {
		if name, value, found := strings.Cut(h, ": "); found {
			r.Header.Set(name, value)
		}
	}
	response, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	read, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return response.StatusCode, string(bytes.TrimSpace(read))
}

// publishData publishes numbers, and checks how many sessions of the node got each.
func publishData(t *testing.T, addr, channel string, from, to, delivered int) {
	t.Helper()
	for n := from; n <= to; n++ {
		body := fmt.Sprintf(`{"channel":%q,"data":%d}`, channel, n)
		status, answer := post(t, addr, body, "x-api-key: "+devKey)
		if want := fmt.Sprintf(`{"ok":true,"delivered":%d}`, delivered); status != http.StatusOK || answer != want {
			t.Fatalf("%s: %d %s, want %s", body, status, answer, want)
		}
	}
}

// publishOnce publishes a number to "a", with a key so that a repeat is none. It returns
// false where there was no reply.
func publishOnce(addr string, n int) bool {
	r, err := http.NewRequest("POST", "http://"+addr+"/api/publish", strings.NewReader(fmt.Sprintf(`{"channel":"a","data":%d}`, n)))
	if err != nil {
		return false
	}
	r.Header.Set("x-api-key", devKey)
	r.Header.Set("Idempotency-Key", fmt.Sprint(n))
	response, err := http.DefaultClient.Do(r)
	if err != nil {
		return false
	}
	defer response.Body.Close()
	_, err = io.Copy(io.Discard, response.Body)
	return err == nil && response.StatusCode == http.StatusOK
}
