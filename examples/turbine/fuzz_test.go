package main

import (
	"cmp"
	"encoding/json"
	"testing"
	"unicode/utf8"

	"github.com/safe-go/safe/realtime"
	"github.com/safe-go/safe/replay"
	"github.com/safe-go/safe/schemas/codes"
	"github.com/safe-go/safe/sharedata"
)

// Whatever a client sends, the reply is JSON with its id.
func FuzzDecode(f *testing.F) {
	for _, seed := range []string{
		`{"id":1,"method":"connect","params":{"token":"t"}}`, `{"id":2,"method":"subscribe","params":{"channel":"a","recover":"1-1"}}`,
		`{"id":3e7,"method":"unsubscribe","params":{"channel":"ü"}}`, `{"id":-4,"method":"ping"}`, `{"id":"","method":"ping"}`, "\xff", `[]`, `null`,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, message []byte) {
		c, p := decode(message)
		if p == nil && c.Method != "ping" && c.Params.Token == "" && !isChannel(c.Params.Channel) {
			t.Errorf("%q is accepted: %+v", message, c)
		}
		wantReply(t, toJSON(reply{ID: c.ID, Error: p}), c.ID)
		wantReply(t, toJSON(reply{ID: c.ID, Result: result{"pong": true}}), c.ID)
		for _, kind := range []realtime.MessageType{realtime.MessageState, realtime.MessageTransaction, realtime.MessageError, realtime.MessageUnsubscribed, realtime.MessageRemoved} {
			encoded := turbine.Encode(nil, &realtime.Message{
				Type: kind, ShareDataID: idOf(c.Params.Channel), CorrelationID: string(c.ID), Cursor: replay.Cursor{Epoch: 1, Revision: 2},
				Entry: &sharedata.Entry{Data: []byte(`1`)}, State: []byte(`1`), Code: codes.Unavailable, Text: c.Method,
			})
			if !json.Valid(encoded) {
				t.Errorf("message %d: %s", kind, encoded)
			}
		}
	})
}

func wantReply(t *testing.T, reply []byte, id json.RawMessage) {
	var r struct{ ID json.RawMessage }
	if err := json.Unmarshal(reply, &r); err != nil || string(r.ID) != cmp.Or(string(id), "null") {
		t.Errorf("%s: %v", reply, err)
	}
}

// Whatever is published, a publication has a channel and data.
func FuzzDecodePublication(f *testing.F) {
	for _, seed := range []string{`{"channel":"a","data":{"x":[1,null]}}`, `{"channel":"","data":1}`, `{"channel":"a"}`, `{"channel":7}`, `[]`, "\xff", ``} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		p, err := decodePublication(body)
		if err == nil && (!isChannel(p.Channel) || !utf8.ValidString(p.Channel) || !json.Valid(p.Data) || p.Key != "") {
			t.Errorf("%q is accepted: %+v", body, p)
		}
	})
}
