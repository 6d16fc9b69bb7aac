package realtime_test

import (
	"bufio"
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/safe-go/safe/realtime"
	"github.com/safe-go/safe/replay"
	"github.com/safe-go/safe/sharedata"
)

// benchServer has one ShareData "c" with a state of about size bytes.
func benchServer(b *testing.B, size int) (*sharedata.Manager, string) {
	manager, err := sharedata.NewManager(nil)
	if err != nil {
		b.Fatal(err)
	}
	server, err := realtime.NewServer(manager, &realtime.Options{MaxBufferedBytes: -1, MessagesPerSecond: -1})
	if err != nil {
		b.Fatal(err)
	}
	h := httptest.NewServer(server)
	b.Cleanup(func() {
		server.Close()
		h.Close()
		manager.Close()
	})
	if _, err := manager.Create(b.Context(), "c", counter{Pad: strings.Repeat("x", size)}, add); err != nil {
		b.Fatal(err)
	}
	return manager, strings.TrimPrefix(h.URL, "http://")
}

// rawSubscriber is a client that costs little: it reads only the headers of frames.
type rawSubscriber struct {
	conn net.Conn
	r    *bufio.Reader
}

func subscribeRaw(b *testing.B, address, since string) *rawSubscriber {
	conn, err := net.Dial("tcp", address)
	if err != nil {
		b.Fatal(err)
	}
	fmt.Fprintf(conn, "GET / HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"+
		"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n")
	r := bufio.NewReaderSize(conn, 32<<10)
	if response, err := http.ReadResponse(r, nil); err != nil || response.StatusCode != http.StatusSwitchingProtocols {
		b.Fatal(response, err)
	}
	conn.Write(masked(0x81, `{"v":1,"type":"subscribe","shareDataId":"c","since":"`+since+`"}`))
	return &rawSubscriber{conn, r}
}

// skip reads n text frames.
func (s *rawSubscriber) skip(n int) error {
	for range n {
		header, err := s.r.Peek(2)
		if err != nil {
			return err
		}
		if header[0] != 0x81 {
			return fmt.Errorf("frame of type %#x", header[0])
		}
		length, skip := int(header[1]), 2
		switch length {
		case 126:
			header, err = s.r.Peek(4)
			length, skip = int(binary.BigEndian.Uint16(header[2:])), 4
		case 127:
			header, err = s.r.Peek(10)
			length, skip = int(binary.BigEndian.Uint64(header[2:])), 10
		}
		if err == nil {
			_, err = s.r.Discard(skip + length)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// BenchmarkFanOut has 64 proposals in flight all the time and ends when every
// subscriber has every transaction. One operation is one transaction.
func BenchmarkFanOut(b *testing.B) {
	for _, size := range []int{256, 16 << 10} {
		for _, subscribers := range []int{1, 100, 1000} {
			if size > 256 && subscribers > 100 {
				continue // half a gigabyte a second would only measure the loopback
			}
			b.Run(fmt.Sprintf("state=%d/subscribers=%d", size, subscribers), func(b *testing.B) {
				manager, address := benchServer(b, size)
				all := make([]*rawSubscriber, subscribers)
				for i := range all {
					all[i] = subscribeRaw(b, address, "")
					defer all[i].conn.Close()
					if err := all[i].skip(1); err != nil {
						b.Fatal(err)
					}
				}
				b.ResetTimer()
				var reading sync.WaitGroup
				for _, s := range all {
					reading.Go(func() {
						if err := s.skip(b.N); err != nil {
							b.Error(err)
						}
					})
				}
				window := make(chan struct{}, 64)
				for range b.N {
					window <- struct{}{}
					manager.Submit(context.Background(), sharedata.Proposal{ShareDataID: "c", FunctionID: "add", Data: step{By: 1}},
						func(_ sharedata.Verdict, err error) {
							if err != nil {
								b.Error(err)
							}
							<-window
						})
				}
				reading.Wait()
				b.ReportMetric(float64(b.N)*float64(subscribers)/b.Elapsed().Seconds(), "deliveries/s")
			})
		}
	}
}

// BenchmarkReconnect dials, subscribes with a cursor that is 100 entries old,
// and reads the state and the replay.
func BenchmarkReconnect(b *testing.B) {
	manager, address := benchServer(b, 256)
	const missed = 100
	var head replay.Cursor
	for range missed {
		verdict, err := manager.Propose(b.Context(), sharedata.Proposal{ShareDataID: "c", FunctionID: "add", Data: step{By: 1}})
		if err != nil {
			b.Fatal(err)
		}
		head = verdict.Cursor
	}
	since := replay.Cursor{Epoch: head.Epoch, Revision: head.Revision - missed}.String()
	b.ReportAllocs()
	for b.Loop() {
		s := subscribeRaw(b, address, since)
		if err := s.skip(1 + missed); err != nil {
			b.Fatal(err)
		}
		s.conn.Close()
	}
	b.ReportMetric(float64(b.N)*missed/b.Elapsed().Seconds(), "replayed/s")
}

// BenchmarkRoundTrip is a proposal of a subscriber, from its frame to its
// result.
func BenchmarkRoundTrip(b *testing.B) {
	_, address := benchServer(b, 256)
	s := subscribeRaw(b, address, "")
	defer s.conn.Close()
	if err := s.skip(1); err != nil {
		b.Fatal(err)
	}
	propose := masked(0x81, `{"v":1,"type":"propose","shareDataId":"c","functionId":"add","proposedData":{"by":1},"correlationId":"c"}`)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := s.conn.Write(propose); err != nil {
			b.Fatal(err)
		}
		if err := s.skip(2); err != nil && err != io.EOF {
			b.Fatal(err)
		}
	}
}

// spinningPeer takes as long for a write as a socket does.
type spinningPeer struct {
	cost  time.Duration
	wrote chan struct{} // nil for nobody who waits
}

func (p *spinningPeer) Write([][]byte) error {
	for began := time.Now(); time.Since(began) < p.cost; {
	}
	if p.wrote != nil {
		p.wrote <- struct{}{}
	}
	return nil
}

func (p *spinningPeer) Ping() error       { return nil }
func (p *spinningPeer) Close(int, string) {}

// benchPeers is a server for clients that are peers, of a manager as of benchServer.
func benchPeers(b *testing.B) (*sharedata.Manager, *realtime.Server) {
	manager, _ := benchServer(b, 256)
	server, err := realtime.NewServer(manager, nil)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { server.Close() })
	return manager, server
}

// broadcast subscribes as many clients, which share a peer.
func broadcast(b *testing.B, server *realtime.Server, id string, subscribers int, peer realtime.Peer) {
	options := &realtime.SessionOptions{Protocol: &realtime.Protocol{Encode: func(dst []byte, m *realtime.Message) []byte { return append(dst, m.State...) }}}
	for range subscribers {
		s, err := server.Open(&http.Request{RemoteAddr: "127.0.0.1:1"}, peer, options)
		if err != nil {
			b.Fatal(err)
		}
		s.Subscribe(realtime.Subscription{ShareDataID: id})
	}
}

// BenchmarkHandOver is how long a broadcast keeps the section that orders the commits of
// its ShareData: from the observer before the server to the one after it.
func BenchmarkHandOver(b *testing.B) {
	for _, subscribers := range []int{1, 1000, 5000} {
		b.Run(fmt.Sprintf("subscribers=%d", subscribers), func(b *testing.B) {
			manager, server := benchPeers(b)
			var begins time.Time
			var took time.Duration
			observe := func(o sharedata.ObserverFunc) {
				_, stop, err := manager.Observe(b.Context(), "c", o)
				if err != nil {
					b.Fatal(err)
				}
				b.Cleanup(stop)
			}
			observe(func([]sharedata.Event) { begins = time.Now() })
			wrote := make(chan struct{}, subscribers)
			broadcast(b, server, "c", subscribers, &spinningPeer{wrote: wrote})
			for range subscribers {
				<-wrote
			}
			observe(func([]sharedata.Event) { took += time.Since(begins) })
			for b.Loop() {
				if _, err := manager.Propose(context.Background(), sharedata.Proposal{ShareDataID: "c", FunctionID: "add", Data: step{By: 1}}); err != nil {
					b.Fatal(err)
				}
				for range subscribers {
					<-wrote
				}
			}
			b.ReportMetric(float64(took.Nanoseconds())/float64(b.N*subscribers), "held-ns/subscriber")
		})
	}
}

// BenchmarkIsolation is a commit to one ShareData, until its subscriber is sent it, while
// 20 times a second another one is broadcast to very many.
func BenchmarkIsolation(b *testing.B) {
	for _, others := range []int{0, 2000} {
		b.Run(fmt.Sprintf("others=%d", others), func(b *testing.B) {
			manager, server := benchPeers(b)
			if _, err := manager.Create(b.Context(), "other", counter{}, add); err != nil {
				b.Fatal(err)
			}
			propose := func(id string) {
				if _, err := manager.Propose(context.Background(), sharedata.Proposal{ShareDataID: id, FunctionID: "add", Data: step{By: 1}}); err != nil {
					b.Error(err)
				}
			}
			broadcast(b, server, "other", others, &spinningPeer{cost: 5 * time.Microsecond})
			wrote := make(chan struct{}, 1)
			broadcast(b, server, "c", 1, &spinningPeer{wrote: wrote})
			<-wrote
			broadcasts, stop := context.WithCancel(b.Context())
			var broadcasting sync.WaitGroup
			broadcasting.Go(func() {
				for tick := time.Tick(50 * time.Millisecond); broadcasts.Err() == nil; <-tick {
					propose("other")
				}
			})
			var took []time.Duration
			for b.Loop() {
				time.Sleep(500 * time.Microsecond) // so that commits meet broadcasts by chance
				began := time.Now()
				propose("c")
				<-wrote
				took = append(took, time.Since(began))
			}
			stop()
			broadcasting.Wait()
			slices.Sort(took)
			b.ReportMetric(float64(took[len(took)/2].Microseconds()), "p50-us")
			b.ReportMetric(float64(took[len(took)*99/100].Microseconds()), "p99-us")
		})
	}
}
