package main

import (
	"cmp"
	"crypto/rand"
	"crypto/subtle"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"unicode/utf8"

	"github.com/safe-go/safe/sharedata"
)

// maxPublication is the size of the largest body of a publication, in bytes. With a key of
// up to 1 KiB in a header, NATS takes 1 MiB unless it is configured otherwise.
const maxPublication = 1<<20 - 2<<10

// api returns a handler that has serve find the result of requests with the key of the API.
func (n *node) api(serve func(http.ResponseWriter, *http.Request) (any, *problem)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		var result any
		p := &problem{Code: http.StatusUnauthorized, Message: "not authenticated: send the key of the API in x-api-key"}
		if subtle.ConstantTimeCompare([]byte(r.Header.Get("x-api-key")), []byte(n.config.key)) == 1 {
			result, p = serve(w, r)
		}
		status := http.StatusOK
		if p != nil {
			status = p.Code
			result = struct {
				OK    bool     `json:"ok"`
				Error *problem `json:"error"`
			}{false, p}
		}
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(status)
		w.Write(toJSON(result))
	}
}

// servePublish serves POST /api/publish.
func (n *node) servePublish(w http.ResponseWriter, r *http.Request) (any, *problem) {
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxPublication))
	if _, tooLarge := errors.AsType[*http.MaxBytesError](err); tooLarge {
		return nil, &problem{Code: http.StatusRequestEntityTooLarge, Message: "the publication is too large"}
	}
	p, invalid := decodePublication(body)
	if err := errors.Join(err, invalid); err != nil {
		return nil, badCommand(err.Error())
	}
	p.Key = cmp.Or(r.Header.Get("Idempotency-Key"), rand.Text())
	switch err = n.publish(r.Context(), p); {
	case errors.Is(err, sharedata.ErrInvalidInput), errors.Is(err, sharedata.ErrInvalidKey):
		return nil, badCommand(err.Error())
	case err != nil:
		n.logger.Warn("a publication failed", "channel", p.Channel, "error", err)
		return nil, &problem{Code: http.StatusInternalServerError, Message: "internal error: publish it again, with the same Idempotency-Key"}
	}
	n.cluster.forward(p, body)
	return struct {
		OK        bool `json:"ok"`
		Delivered int  `json:"delivered"`
	}{true, n.server.Subscribers(idOf(p.Channel))}, nil
}

// decodePublication decodes a body of POST /api/publish, which is also what nodes forward.
func decodePublication(body []byte) (p publication, err error) {
	switch {
	case !utf8.Valid(body):
		return p, errors.New("bad UTF-8")
	case json.Unmarshal(body, &p) != nil:
		return p, errors.New(`send {"channel","data"} as JSON`)
	case !isChannel(p.Channel):
		return p, errors.New(channelRule)
	case p.Data == nil:
		return p, errors.New("data is missing")
	}
	return p, nil
}

// serveStats serves GET /api/stats.
func (n *node) serveStats(http.ResponseWriter, *http.Request) (any, *problem) {
	return struct {
		Sessions    int    `json:"sessions"`
		Closed      uint64 `json:"closed"`
		Skipped     uint64 `json:"skipped"`
		Unforwarded uint64 `json:"unforwarded"`
	}{len(n.server.Connections()), n.closed.Load(), n.skipped.Load(), n.unforwarded.Load()}, nil
}
