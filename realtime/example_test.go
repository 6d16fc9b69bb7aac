package realtime_test

import (
	"context"
	"encoding/json"
	"fmt"
	"log"
	"net/http"
	"net/http/httptest"

	"github.com/coder/websocket"

	"github.com/safe-go/safe/realtime"
	"github.com/safe-go/safe/sharedata"
)

// A service mounts a Server, and any WebSocket client speaks with it.
func Example() {
	ctx := context.Background()
	type Counter struct {
		Value int `json:"value"`
	}
	type Add struct {
		By int `json:"by"`
	}
	add := sharedata.NewFunction("add", func(_ context.Context, c Counter, in Add) (Counter, error) {
		if c.Value+in.By < 0 {
			return c, sharedata.Reject("the counter cannot go below zero")
		}
		c.Value += in.By
		return c, nil
	})
	manager, err := sharedata.NewManager(nil)
	if err != nil {
		log.Fatal(err)
	}
	defer manager.Close()
	if _, err := manager.Create(ctx, "counter", Counter{}, add); err != nil {
		log.Fatal(err)
	}

	server, err := realtime.NewServer(manager, nil)
	if err != nil {
		log.Fatal(err)
	}
	defer server.Close()
	mux := http.NewServeMux()
	mux.Handle("/realtime", server)
	listening := httptest.NewServer(mux)
	defer listening.Close()

	conn, _, err := websocket.Dial(ctx, listening.URL+"/realtime", nil)
	if err != nil {
		log.Fatal(err)
	}
	defer conn.CloseNow()
	for _, message := range []string{
		`{"v":1,"type":"subscribe","shareDataId":"counter"}`,
		`{"v":1,"type":"propose","shareDataId":"counter","functionId":"add","proposedData":{"by":2},"correlationId":"1"}`,
		`{"v":1,"type":"propose","shareDataId":"counter","functionId":"add","proposedData":{"by":-3},"correlationId":"2"}`,
	} {
		if err := conn.Write(ctx, websocket.MessageText, []byte(message)); err != nil {
			log.Fatal(err)
		}
	}
	for results := 0; results < 2; {
		_, message, err := conn.Read(ctx)
		if err != nil {
			log.Fatal(err)
		}
		var frame struct {
			Type         string
			CurrentState json.RawMessage
			Accepted     bool
			Error        string
		}
		if err := json.Unmarshal(message, &frame); err != nil {
			log.Fatal(err)
		}
		switch frame.Type {
		case "state":
			fmt.Printf("state %s\n", frame.CurrentState)
		case "proposal-result":
			results++
			fmt.Printf("accepted %v %q\n", frame.Accepted, frame.Error)
		}
	}
	// Output:
	// state {"value":0}
	// accepted true ""
	// accepted false "the counter cannot go below zero"
}
