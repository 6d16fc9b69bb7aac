package main

import (
	"bufio"
	"bytes"
	"crypto/tls"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"
)

// testTimeout is how long a test waits for what must come.
const testTimeout = 20 * time.Second

// Opcodes (RFC 6455 section 5.2).
const (
	opText   = 1
	opBinary = 2
	opClose  = 8
	opPing   = 9
	opPong   = 10
)

// wsClient is a WebSocket client that shares no code with the server.
type wsClient struct {
	*testing.T
	conn net.Conn
	in   *bufio.Reader
}

// frame is what a client was sent. A close frame has the code and reason.
type frame struct {
	op      byte
	content string
	code    int
}

func (f frame) String() string { return fmt.Sprintf("%d:%d:%.200s", f.op, f.code, f.content) }

// handshake opens a WebSocket, or returns the response that refuses it.
func handshake(t *testing.T, url string, roots *tls.Config, headers ...string) (*wsClient, *http.Response) {
	t.Helper()
	scheme, rest, _ := strings.Cut(url, "://")
	address, path, _ := strings.Cut(strings.Replace(rest, "localhost", "127.0.0.1", 1), "/")
	conn, err := net.DialTimeout("tcp", address, testTimeout)
	if err != nil {
		t.Fatal(err)
	}
	if scheme == "https" {
		conn = tls.Client(conn, roots)
	}
	t.Cleanup(func() { conn.Close() })
	conn.SetDeadline(time.Now().Add(testTimeout))
	fmt.Fprintf(conn, "GET /%s HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"+
		"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n%s\r\n", path, strings.Join(append(headers, ""), "\r\n"))
	in := bufio.NewReader(conn)
	response, err := http.ReadResponse(in, &http.Request{Method: "GET"})
	if err != nil {
		t.Fatal(err)
	}
	return &wsClient{t, conn, in}, response
}

// connect opens a WebSocket as the document says.
func connect(t *testing.T, url string) *wsClient {
	t.Helper()
	return connectTLS(t, url, nil)
}

func connectTLS(t *testing.T, url string, roots *tls.Config) *wsClient {
	t.Helper()
	c, response := handshake(t, url, roots, "Sec-WebSocket-Protocol: mles-websocket")
	if got := response.Header.Get("Sec-WebSocket-Protocol"); response.StatusCode != 101 || got != "mles-websocket" {
		t.Fatalf("got the status %d and the subprotocol %q", response.StatusCode, got)
	}
	return c
}

// join connects and joins a channel.
func join(t *testing.T, url, uid, channel string) *wsClient {
	t.Helper()
	c := connect(t, url)
	c.send(fmt.Sprintf(`{"uid":%q,"channel":%q}`, uid, channel))
	return c
}

func (c *wsClient) send(text string) { c.write(opText, text) }

func (c *wsClient) write(op byte, content string) {
	const masked = 128
	out := []byte{128 | op}
	switch size := len(content); {
	case size < 126:
		out = append(out, masked|byte(size))
	case size < 1<<16:
		out = binary.BigEndian.AppendUint16(append(out, masked|126), uint16(size))
	default:
		out = binary.BigEndian.AppendUint64(append(out, masked|127), uint64(size))
	}
	key := [4]byte{1, 2, 3, 4}
	out = append(out, key[:]...)
	for i := range len(content) {
		out = append(out, content[i]^key[i%4])
	}
	c.conn.Write(out) // a server that has closed is noticed by reading
}

// read returns the next message, or the close frame or the error that ends the connection.
func (c *wsClient) read() (frame, error) {
	for {
		c.conn.SetReadDeadline(time.Now().Add(testTimeout))
		var header [2]byte
		if _, err := io.ReadFull(c.in, header[:]); err != nil {
			return frame{}, err
		}
		size := uint64(header[1])
		if extra := map[uint64]int{126: 2, 127: 8}[size]; extra > 0 {
			length := make([]byte, 8)
			if _, err := io.ReadFull(c.in, length[8-extra:]); err != nil {
				return frame{}, err
			}
			size = binary.BigEndian.Uint64(length)
		}
		content := make([]byte, size)
		if _, err := io.ReadFull(c.in, content); err != nil {
			return frame{}, err
		}
		switch f := (frame{op: header[0] & 15, content: string(content)}); f.op {
		case opPing:
			c.write(opPong, f.content)
		case opClose:
			c.write(opClose, f.content)
			f.code, f.content = int(binary.BigEndian.Uint16(content)), string(content[2:])
			return f, nil
		case opPong:
		default:
			return f, nil
		}
	}
}

// want reads text messages.
func (c *wsClient) want(messages ...string) {
	c.Helper()
	for i, want := range messages {
		if f, err := c.read(); err != nil || f.op != opText || f.content != want {
			c.Fatalf("message %d is %v (%v), want %q", i+1, f, err, want)
		}
	}
}

func (c *wsClient) wantBinary(want []byte) {
	c.Helper()
	if f, err := c.read(); err != nil || f.op != opBinary || !bytes.Equal([]byte(f.content), want) {
		c.Fatalf("got %v (%v), want %q as binary", f, err, want)
	}
}

func (c *wsClient) wantClose(code int, reason string) {
	c.Helper()
	if f, err := c.read(); err != nil || f.op != opClose || f.code != code || !strings.Contains(f.content, reason) {
		c.Fatalf("got %v (%v), want to be closed with %d %q", f, err, code, reason)
	}
}
