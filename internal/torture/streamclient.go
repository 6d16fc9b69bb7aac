package torture

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/safe-go/safe/internal/checker"
	"github.com/safe-go/safe/internal/wire"
)

// streamClient subscribes by server-sent events and proposes by POST, without package
// client. Each event stream is recorded as a connection. A proposal is recorded by
// itself: it is a connection of its own, so its result may come before its transaction.
type streamClient struct {
	driver    *driver
	name      string
	proxy     *proxy
	ids       []string
	streams   []*eventStream
	positions positions
	asks      asks
}

// eventStream is a subscription to some ShareData: many event streams, one after the
// other, each of which resumes the one before.
type eventStream struct {
	client *streamClient
	ids    []string
	lastID string // of the last event that was received completely
	// before is the record of the event stream before; nil at first, and where the
	// client has lost the states.
	before *checker.Connection
}

func (d *driver) newStreamClient(number int, proxy *proxy, rng *rand.Rand) *streamClient {
	c := &streamClient{
		driver: d, name: fmt.Sprint("stream-", number), proxy: proxy, ids: some(rng, d.ids), positions: newPositions(),
		asks: asksOf(len(d.streamClients)),
	}
	size := 1
	if rng.IntN(2) == 0 {
		size = len(c.ids)
	}
	for ids := range slices.Chunk(c.ids, size) {
		c.streams = append(c.streams, &eventStream{client: c, ids: ids})
	}
	return c
}

// work subscribes, proposes and moves until the clients have done enough.
func (c *streamClient) work(rng *rand.Rand) {
	var working sync.WaitGroup
	defer working.Wait()
	for i, s := range c.streams {
		working.Go(func() { s.work(stream(c.driver.options.Seed, fmt.Sprint(c.name, " ", i))) })
	}
	for n := 0; c.driver.isWorking(); n++ {
		if rng.IntN(40) == 0 {
			c.driver.move(c.proxy, rng.IntN(c.driver.options.Processes))
			c.proxy.cut()
		}
		c.proposeBurst(rng, fmt.Sprint(c.name, "-", n))
		c.driver.think(rng)
	}
}

// proposeBurst makes a few proposals at once, some of them twice.
func (c *streamClient) proposeBurst(rng *rand.Rand, key string) {
	var proposing sync.WaitGroup
	defer proposing.Wait()
	for i := range 1 + rng.IntN(3) {
		id := c.driver.ids[rng.IntN(len(c.driver.ids))]
		function, data := randomProposal(rng, id)
		p := checker.Proposal{Proposer: c.name, ShareData: id, Function: function, Data: data, Key: fmt.Sprint(key, "-", i)}
		proposing.Go(func() { c.propose(p) })
		if rng.IntN(8) == 0 {
			proposing.Go(func() { c.propose(p) })
		}
	}
}

// propose proposes until the outcome is known, a few times at most.
func (c *streamClient) propose(p checker.Proposal) {
	for range 4 {
		if !c.driver.reserveOperation() || c.post(p) {
			return
		}
		pause(c.driver.work, 50*time.Millisecond)
	}
}

// postTimeout is how long a streamClient waits for the response to a POST: a proxy may
// have blocked the connection.
const postTimeout = 4 * time.Second

// post sends and records a proposal. It returns false where that should be repeated.
func (c *streamClient) post(p checker.Proposal) (done bool) {
	frame := &wire.Propose{
		ShareDataID: p.ShareData, FunctionID: p.Function, ProposedData: p.Data, IdempotencyKey: p.Key, CorrelationID: "post",
	}
	ctx, cancel := context.WithTimeout(c.driver.ctx, postTimeout)
	defer cancel()
	pending := c.driver.recorder.Proposed(p)
	response, body, err := c.request(ctx, "POST", "/realtime/propose", nil, frame.AppendTo(nil))
	if err != nil {
		return false
	}
	defer response.Body.Close()
	text, err := io.ReadAll(body)
	if err != nil {
		return false
	}
	pending.ServedBy(response.Header.Get("X-Served-By"))
	if response.StatusCode != http.StatusOK {
		var problem struct{ Code, Detail string }
		if err := json.Unmarshal(text, &problem); err != nil || problem.Code == "" {
			c.driver.fail(fmt.Errorf("%s: a proposal was answered with %s: %.200q", c.name, response.Status, text))
		}
		pending.Answered(checker.Answer{Code: problem.Code, Error: problem.Detail})
		return response.StatusCode < http.StatusTooManyRequests
	}
	message, err := wire.DecodeServer(text, wire.Limits{})
	result, ok := message.(*wire.ProposalResult)
	if err != nil || !ok || result.TransactionID == "" {
		c.driver.fail(fmt.Errorf("%s: %.200q is not a verdict: %v", c.name, text, err))
		return true
	}
	c.driver.posts.Add(1)
	pending.Answered(checker.Answer{
		Accepted: result.Accepted, TransactionID: result.TransactionID, Duplicate: result.Duplicate, Code: result.Code, Error: result.Error,
	})
	return true
}

// request makes a request through the proxy.
func (c *streamClient) request(ctx context.Context, method, path string, header http.Header, body []byte) (*http.Response, *bufio.Reader, error) {
	request, err := http.NewRequestWithContext(ctx, method, "http://"+c.proxy.addr()+path, bytes.NewReader(body))
	if err != nil {
		return nil, nil, err
	}
	if header != nil {
		request.Header = header
	}
	response, err := c.driver.httpClient.Do(request)
	if err != nil {
		return nil, nil, err
	}
	return response, bufio.NewReader(response.Body), nil
}

// work subscribes again and again until the faults are over.
func (s *eventStream) work(rng *rand.Rand) {
	d := s.client.driver
	for d.isFaulty() {
		ctx, cancel := context.WithTimeout(d.faulty, 200*time.Millisecond+time.Duration(rng.Int64N(int64(4*time.Second))))
		if s.lastID != "" && rng.IntN(2) == 0 {
			s.follow(ctx, strings.Split(s.lastID, ","), true, false)
		} else {
			s.follow(ctx, s.cursors(func(cursor string) string { return since(rng, cursor) }), false, false)
		}
		cancel()
		if rng.IntN(3) == 0 {
			s.before = nil
		}
		pause(d.faulty, time.Duration(rng.Int64N(2*int64(d.options.Think))))
	}
}

// cursors returns where the ShareData are to be resumed from: at the positions of the
// client, or what change makes of them.
func (s *eventStream) cursors(change func(string) string) []string {
	var cursors []string
	for _, id := range s.ids {
		cursors = append(cursors, change(s.client.positions.of(id)))
	}
	return cursors
}

// stayConnected follows every event stream until ctx ends, and makes no new request
// after current is closed.
func (c *streamClient) stayConnected(ctx context.Context, current <-chan struct{}) {
	var staying sync.WaitGroup
	defer staying.Wait()
	for _, s := range c.streams {
		staying.Go(func() {
			for {
				for _, id := range s.ids {
					c.positions.ask(id)
				}
				stay, cancel := context.WithTimeout(ctx, stayTime)
				s.follow(stay, s.cursors(strings.Clone), false, true)
				cancel()
				select {
				case <-time.After(100 * time.Millisecond):
				case <-current:
					return
				}
			}
		})
	}
}

// follow requests and records an event stream from the cursors on. byID says that they
// are sent as the Last-Event-ID. It returns at the end of the stream or of ctx; with
// whole, also when the subscription to one of its ShareData has ended.
func (s *eventStream) follow(ctx context.Context, cursors []string, byID, whole bool) {
	c := s.client
	record := c.driver.recorder.Connection(c.name)
	code := 0
	defer func() { record.Closed(code) }()
	if s.before != nil {
		record.Continues(s.before)
	}
	s.before = record
	includeState := false
	for i, id := range s.ids {
		includeState = includeState || c.asks.patches && !record.KeepStateAt(id, cursors[i])
	}
	query := url.Values{
		"shareDataId": s.ids, "patches": {fmt.Sprint(c.asks.patches)}, "conflate": {fmt.Sprint(c.asks.conflate)},
		"includeState": {fmt.Sprint(includeState)},
	}
	header := http.Header{"Accept": {"text/event-stream"}}
	if byID {
		header.Set("Last-Event-ID", strings.Join(cursors, ","))
	} else {
		query["since"] = cursors
	}
	for i, id := range s.ids {
		record.Sent(&wire.Subscribe{
			ShareDataID: id, Since: cursors[i], ReplayLifecycle: true, KeepConnection: true,
			Patches: c.asks.patches, Conflate: c.asks.conflate, IncludeState: includeState,
		})
	}
	response, body, err := c.request(ctx, "GET", "/realtime?"+query.Encode(), header, nil)
	if err != nil {
		return
	}
	defer response.Body.Close()
	record.ServedBy(response.Header.Get("X-Served-By"))
	switch response.StatusCode {
	case http.StatusOK:
	case http.StatusNotFound, http.StatusServiceUnavailable:
		return // the ShareData was removed, or the store cannot be read
	default:
		c.driver.fail(fmt.Errorf("%s: %s?%s was answered with %s", c.name, "/realtime", query.Encode(), response.Status))
		return
	}
	for {
		e, err := readEvent(body)
		if err != nil {
			return
		}
		if e.name == "close" {
			var end struct{ Code int }
			if err := json.Unmarshal(e.data, &end); err != nil || end.Code == 0 {
				c.driver.fail(fmt.Errorf("%s: a stream was closed by %q: %v", c.name, e.data, err))
			}
			code = end.Code
			record.Closed(code) // what follows is out of order
			continue
		}
		if ended := s.receive(record, e, cursors); ended && whole {
			return
		}
	}
}

// receive records an event with a frame. positions are those before the event, of which
// it changes one. It returns whether a subscription has ended.
func (s *eventStream) receive(record *checker.Connection, e sentEvent, positions []string) (ended bool) {
	c := s.client
	frame, err := wire.DecodeServer(e.data, wire.Limits{})
	if err != nil {
		c.driver.fail(fmt.Errorf("%s: a server sent %.200q: %w", c.name, e.data, err))
		return false
	}
	record.Received(frame)
	c.driver.streamFrames.Add(1)
	id, cursor, ended := positionAfter(frame)
	if cursor != "" {
		c.positions.moveTo(id, cursor)
		positions[slices.Index(s.ids, id)] = cursor
	}
	if want := strings.Join(positions, ","); (cursor != "" || e.id != "") && e.id != want {
		c.driver.violate(checker.Violation{
			Promise: checker.Resumable, ShareData: id, Subscriber: c.name, Where: fmt.Sprintf("event %.200q", e.data),
			Explanation: fmt.Sprintf("its id is %q, and the positions after it are %q", e.id, want),
		})
	}
	if e.id != "" {
		s.lastID = e.id
	}
	return ended
}

// sentEvent is a server-sent event.
type sentEvent struct {
	name, id string
	data     []byte
}

// readEvent reads the next event as a browser does (HTML Standard, section 9.2.6): one
// that is not complete is ignored.
func readEvent(r *bufio.Reader) (e sentEvent, err error) {
	for {
		line, err := r.ReadString('\n')
		if err != nil {
			return e, err
		}
		field, value, _ := strings.Cut(strings.TrimSuffix(line, "\n"), ": ")
		switch field {
		case "":
			if e.name != "" {
				return e, nil
			}
		case "event":
			e.name = value
		case "id":
			e.id = value
		case "data":
			e.data = append(e.data, value...)
		}
	}
}
