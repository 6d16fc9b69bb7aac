package client_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"

	"github.com/coder/websocket"
	"github.com/coder/websocket/wsjson"

	"github.com/safe-go/safe/client"
)

type Counter struct {
	Value int `json:"value"`
}

type Add struct {
	By int `json:"by"`
}

func Example() {
	server := httptest.NewServer(http.HandlerFunc(counter))
	defer server.Close()
	ctx := context.Background()

	c, err := client.Dial(ctx, server.URL, nil)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer c.Close()

	sub := c.Subscribe("counter")
	for event, err := range sub.Events(ctx) {
		if err != nil {
			fmt.Println(err)
			return
		}
		switch event := event.(type) {
		case *client.State:
			counter, _ := client.DecodeState[Counter](event)
			fmt.Println("it is", counter.Value)

			result, err := c.Propose(ctx, "counter", "add", Add{By: 5})
			fmt.Println("accepted:", result.Accepted, err)
			result, err = c.Propose(ctx, "counter", "add", Add{By: -10})
			fmt.Println("accepted:", result.Accepted, result.Error, err)
		case *client.Transaction:
			counter, _ := client.DecodeState[Counter](event)
			fmt.Println("now it is", counter.Value, "at", sub.Cursor())
			if !event.Accepted {
				return
			}
		case *client.Gap:
			fmt.Println("something was missed:", event.Reason)
		}
	}
	// Output:
	// it is 2
	// accepted: true <nil>
	// accepted: false the counter cannot go below zero <nil>
	// now it is 7 at 1-2
	// now it is 7 at 1-3
}

// counter is a server of one ShareData that knows just enough for the example.
func counter(w http.ResponseWriter, r *http.Request) {
	ws, err := websocket.Accept(w, r, nil)
	if err != nil {
		return
	}
	defer ws.CloseNow()
	type object = map[string]any
	value, revision := 2, 1
	for {
		var frame struct {
			Type, CorrelationID string
			ProposedData        json.RawMessage
		}
		if wsjson.Read(r.Context(), ws, &frame) != nil {
			return
		}
		cursor := func() string { return fmt.Sprintf("1-%d", revision) }
		switch frame.Type {
		case "subscribe":
			wsjson.Write(r.Context(), ws, object{"v": 1, "type": "state", "shareDataId": "counter", "currentState": Counter{value},
				"lastTransactionId": nil, "cursor": cursor(), "revision": revision, "replaying": 0})
		case "propose":
			var add Add
			json.Unmarshal(frame.ProposedData, &add)
			revision++
			result := object{"v": 1, "type": "proposal-result", "correlationId": frame.CorrelationID, "accepted": true, "transactionId": cursor()}
			if value+add.By < 0 {
				result["accepted"], result["error"] = false, "the counter cannot go below zero"
			} else {
				value += add.By
			}
			wsjson.Write(r.Context(), ws, object{"v": 1, "type": "transaction", "shareDataId": "counter", "transactionId": cursor(),
				"accepted": result["accepted"], "currentState": Counter{value}, "revision": revision})
			wsjson.Write(r.Context(), ws, result)
		}
	}
}
