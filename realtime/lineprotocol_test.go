package realtime_test

import (
	"bufio"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strings"
	"sync"

	"github.com/safe-go/safe/realtime"
	"github.com/safe-go/safe/sharedata"
)

// This file serves a protocol of lines over TCP with what package realtime exports: what
// an application needs to serve clients that it has already.
//
//	client: hello NAME                      server: ok, or error TEXT and the end
//	        sub ID [CURSOR]                         state ID CURSOR STATE
//	        unsub ID                                change ID CURSOR STATE (- where it was missed)
//	        do WORD ID FUNCTION DATA                done WORD CURSOR, or failed WORD CODE
var lines = &realtime.Protocol{Encode: func(dst []byte, m *realtime.Message) []byte {
	switch m.Type {
	case realtime.MessageState:
		return fmt.Appendf(dst, "state %s %s %s\n", m.ShareDataID, m.Cursor, m.State)
	case realtime.MessageTransaction, realtime.MessageUpdated:
		if m.Replayed {
			return fmt.Appendf(dst, "change %s %s -\n", m.ShareDataID, m.Cursor)
		}
		return fmt.Appendf(dst, "change %s %s %s\n", m.ShareDataID, m.Cursor, m.State)
	case realtime.MessageRemoved:
		return fmt.Appendf(dst, "removed %s\n", m.ShareDataID)
	case realtime.MessageResult:
		if m.Accepted {
			return fmt.Appendf(dst, "done %s %s\n", m.CorrelationID, m.Cursor)
		}
		return fmt.Appendf(dst, "failed %s %s\n", m.CorrelationID, m.Code)
	case realtime.MessageError:
		return fmt.Appendf(dst, "error %s %s\n", m.ShareDataID, m.Code)
	}
	return dst
}}

// linePeer is a realtime.Peer.
type linePeer struct{ net.Conn }

func (p linePeer) Write(messages [][]byte) error {
	buffers := net.Buffers(messages)
	_, err := buffers.WriteTo(p.Conn)
	return err
}

func (p linePeer) Ping() error { return nil }

func (p linePeer) Close(code int, reason string) {
	fmt.Fprintf(p.Conn, "bye %d\n", code)
	p.Conn.Close()
}

// serveLines serves the protocol until the listener is closed.
func serveLines(server *realtime.Server, listener net.Listener) {
	var serving sync.WaitGroup
	defer serving.Wait()
	for {
		conn, err := listener.Accept()
		if err != nil {
			return
		}
		serving.Go(func() { serveLine(server, conn) })
	}
}

func serveLine(server *realtime.Server, conn net.Conn) {
	defer conn.Close()
	in := bufio.NewScanner(conn)
	if !in.Scan() {
		return
	}
	name, ok := strings.CutPrefix(in.Text(), "hello ")
	session, err := server.Open(&http.Request{RemoteAddr: conn.RemoteAddr().String()}, linePeer{conn},
		&realtime.SessionOptions{Protocol: lines, Caller: &sharedata.Caller{Subject: name}})
	var refused *realtime.OpenError
	if !ok || errors.As(err, &refused) {
		fmt.Fprintln(conn, "error", refused)
		return
	}
	fmt.Fprintln(conn, "ok")
	for in.Scan() {
		if _, ok := session.Received(); !ok {
			continue
		}
		switch words := strings.SplitN(in.Text(), " ", 5); {
		case words[0] == "sub" && len(words) > 1:
			session.Subscribe(realtime.Subscription{ShareDataID: words[1], Since: strings.Join(words[2:], "")})
		case words[0] == "unsub" && len(words) > 1:
			session.Unsubscribe(words[1])
		case words[0] == "do" && len(words) == 5:
			session.Propose(realtime.Proposal{CorrelationID: words[1], ShareDataID: words[2], FunctionID: words[3], Data: []byte(words[4])})
		}
	}
	session.End()
	<-session.Done()
}
