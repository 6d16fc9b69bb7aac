package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"github.com/safe-go/safe/realtime"
	"github.com/safe-go/safe/sharedata"
)

// wantRequestError checks that what is refused is refused with 400 and a text.
func wantRequestError(t *testing.T, err error) {
	var reported *requestError
	if !errors.As(err, &reported) || reported.status != 400 || reported.text == "" {
		t.Errorf("got %v", err)
	}
}

// What is accepted can be stored, and written as one event of an event stream.
func FuzzDecodeEvent(f *testing.F) {
	for _, body := range []string{
		`{"event":"test","collection_id":"3ca76743-8d99-4d3f-b85c-633ea456f90c","timestamp":1578667309,"data":"{}"}`,
		`{"event":"a\n","collection_id":"3CA76743-8D99-4D3F-B85C-633EA456F90C","timestamp":-1,"data":{"a": [1, null]}}`,
		`{"event":"\u2028 ","collection_id":"3ca76743-8d99-4d3f-b85c-633ea456f90c","timestamp":1e3,"data":{"a":"\n"}} `,
		`{"Event":"x","timestamp":9223372036854775808}`, `[]`, `null`, ``,
	} {
		f.Add([]byte(body))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		in, err := decode(bytes.NewReader(body), []string{"event", "collection_id", "timestamp", "data"})
		if err != nil {
			wantRequestError(t, err)
			return
		}
		e := in.event
		if e.ID != "" || e.UserID != "" || e.Published || e.Cancelled {
			t.Errorf("taken from the body: %+v", e)
		}
		state, err := publishFunction.Run(t.Context(), map[string]any{}, e)
		if err != nil { // the data is not UTF-8, nests too deeply, or has two members of one name
			wantRequestError(t, asRequestError(err))
			return
		}
		text := string(encode(nil, &realtime.Message{Type: realtime.MessageState, State: state}))
		data, _ := json.Marshal(e.Data)
		lines := strings.Split(text, "\n")
		if len(lines) != 5 || lines[0] != "event: "+e.Event || !strings.HasPrefix(lines[1], "data: ") || !strings.HasPrefix(lines[2], "id: ") {
			t.Errorf("%s is written as %q", data, text)
		}
	})
}

func FuzzDecodeLogin(f *testing.F) {
	f.Add([]byte(annLogin))
	f.Add([]byte(`{"username":"\ud800","password":"p"}`))
	f.Fuzz(func(t *testing.T, body []byte) {
		c, err := decode(bytes.NewReader(body), []string{"username", "password"})
		if err != nil {
			wantRequestError(t, err)
		} else if c.Username == "" || c.Password == "" || len(userPrefix+c.Username) > sharedata.MaxIDBytes {
			t.Errorf("accepted: %+v", c)
		}
	})
}

func FuzzDecodeUser(f *testing.F) {
	f.Add([]byte(ann))
	f.Fuzz(func(t *testing.T, body []byte) {
		c, err := decode(bytes.NewReader(body), []string{"username", "password", "collection_id"})
		if err != nil {
			wantRequestError(t, err)
		} else if !isUUID(c.CollectionID) || c.Username == "" || c.Password == "" {
			t.Errorf("accepted: %+v", c)
		}
	})
}
