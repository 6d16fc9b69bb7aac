package client_test

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"sync"
	"time"

	"github.com/coder/websocket"
	"github.com/coder/websocket/wsjson"

	"github.com/safe-go/safe/client"
)

// The server commits the proposal and loses its first three replies. The loop
// repeats the proposal under one key, so that it takes effect once.
func ExampleClient_ProposeWith() {
	unreliable := &unreliableServer{lose: 3, verdicts: make(map[string]string)}
	server := httptest.NewServer(unreliable)
	defer server.Close()
	c, err := client.Dial(context.Background(), server.URL, &client.Options{RequestTimeout: 20 * time.Millisecond})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer c.Close()

	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	result, err := proposeUntilVerdict(ctx, c, client.Proposal{ShareDataID: "counter", FunctionID: "add", Data: Add{By: 5}})
	fmt.Println("accepted:", result.Accepted, "duplicate:", result.Duplicate, err)
	fmt.Println("the counter is", unreliable.value)
	// Output:
	// accepted: true duplicate: true <nil>
	// the counter is 5
}

// proposeUntilVerdict repeats a proposal until there is a verdict, the server
// refuses it or the context ends. The proposal takes effect at most once. If
// errors.Is(err, client.ErrOutcomeUnknown), it may have taken effect; with any
// other error it has not.
func proposeUntilVerdict(ctx context.Context, c *client.Client, p client.Proposal) (client.Result, error) {
	if p.IdempotencyKey == "" {
		p.IdempotencyKey = rand.Text() // one key for all repetitions
	}
	var unknown error
	for {
		result, err := c.ProposeWith(ctx, p)
		if errors.Is(err, client.ErrOutcomeUnknown) {
			unknown = err // Later errors speak only of their own call.
		}
		switch {
		case err == nil:
			return result, nil // result.Accepted is the verdict.
		case !errors.Is(err, client.ErrTimeout):
			return result, errors.Join(unknown, err)
		}
	}
}

// unreliableServer has one counter. It knows idempotency keys, and loses replies.
type unreliableServer struct {
	mu       sync.Mutex
	lose     int
	value    int
	verdicts map[string]string // by idempotency key
}

func (s *unreliableServer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	ws, err := websocket.Accept(w, r, nil)
	if err != nil {
		return
	}
	defer ws.CloseNow()
	for {
		var frame struct {
			CorrelationID, IdempotencyKey string
			ProposedData                  json.RawMessage
		}
		if wsjson.Read(r.Context(), ws, &frame) != nil {
			return
		}
		if reply := s.propose(frame.CorrelationID, frame.IdempotencyKey, frame.ProposedData); reply != nil {
			wsjson.Write(r.Context(), ws, reply)
		}
	}
}

func (s *unreliableServer) propose(correlationID, key string, data json.RawMessage) any {
	s.mu.Lock()
	defer s.mu.Unlock()
	id, duplicate := s.verdicts[key]
	if !duplicate {
		var add Add
		json.Unmarshal(data, &add)
		s.value += add.By
		id = fmt.Sprintf("1-%d", len(s.verdicts)+2)
		s.verdicts[key] = id
	}
	if s.lose > 0 {
		s.lose--
		return nil
	}
	return map[string]any{"v": 1, "type": "proposal-result", "correlationId": correlationID,
		"accepted": true, "transactionId": id, "duplicate": duplicate}
}
