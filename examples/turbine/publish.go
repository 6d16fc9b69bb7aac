package main

import (
	"cmp"
	"context"
	"crypto/rand"
	"crypto/subtle"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"time"
	"unicode/utf8"

	"github.com/safe-go/safe/sharedata"
)

// maxPublication is the size of the largest publication, in bytes.
const maxPublication = 1 << 20

// requireKey refuses requests without the key of the API.
func (s *service) requireKey(next http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if subtle.ConstantTimeCompare([]byte(r.Header.Get("x-api-key")), []byte(s.config.key)) != 1 {
			replyError(w, notAuthenticated, "not authenticated: send the key of the API in x-api-key")
			return
		}
		next(w, r)
	}
}

// servePublish serves POST /api/publish.
func (s *service) servePublish(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxPublication))
	if tooLarge := (*http.MaxBytesError)(nil); errors.As(err, &tooLarge) {
		replyError(w, http.StatusRequestEntityTooLarge, "the publication is too large")
		return
	}
	p, why := decodePublication(body)
	if err != nil || why != "" {
		replyError(w, badCommand, "bad command: "+why)
		return
	}
	p.Key = cmp.Or(r.Header.Get("Idempotency-Key"), rand.Text())
	// A publisher that goes away must not end it between the commit and the forwarding.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(r.Context()), 30*time.Second)
	defer cancel()
	switch err = s.channels.publish(ctx, p); {
	case errors.Is(err, sharedata.ErrInvalidInput), errors.Is(err, sharedata.ErrInvalidState), errors.Is(err, sharedata.ErrInvalidKey):
		replyError(w, badCommand, "bad command: "+err.Error())
		return
	case err != nil:
		s.logger.Warn("a publication failed", "channel", p.Channel, "error", err)
		replyError(w, internalError, "internal error: publish it again, with the same Idempotency-Key so that it happens once")
		return
	}
	delivered := s.realtime.Subscribers(idOf(p.Channel))
	s.cluster.forward(p)
	reply(w, http.StatusOK, struct {
		OK        bool `json:"ok"`
		Delivered int  `json:"delivered"`
	}{true, delivered})
}

// decodePublication decodes a body of POST /api/publish, which is also what nodes forward.
func decodePublication(body []byte) (p publication, why string) {
	switch {
	case !utf8.Valid(body):
		return p, "bad UTF-8"
	case json.Unmarshal(body, &p) != nil:
		return p, "send {\"channel\",\"data\"} as JSON"
	case !isChannel(p.Channel):
		return p, channelRule
	case p.Data == nil:
		return p, "data is missing"
	}
	return p, ""
}

// serveStats serves GET /api/stats.
func (s *service) serveStats(w http.ResponseWriter, _ *http.Request) {
	reply(w, http.StatusOK, struct {
		Sessions    int    `json:"sessions"`
		Closed      uint64 `json:"closed"`
		Skipped     uint64 `json:"skipped"`
		Unforwarded uint64 `json:"unforwarded"`
	}{len(s.realtime.Connections()), s.closed.Load(), s.skipped.Load(), s.cluster.failures()})
}

func replyError(w http.ResponseWriter, code int, message string) {
	reply(w, code, struct {
		OK    bool    `json:"ok"`
		Error problem `json:"error"`
	}{Error: problem{Code: code, Message: message}})
}

func reply(w http.ResponseWriter, status int, value any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	w.Write(text(value))
}
