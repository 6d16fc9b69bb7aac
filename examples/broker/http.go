package main

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"time"

	"github.com/safe-go/safe/sharedata"
	"github.com/safe-go/safe/sharedata/schedule"
)

const (
	maxBodyBytes   = 256 << 10
	requestTimeout = 30 * time.Second
)

// handler routes the documented endpoints. Each but the stream is listed with the fields
// that its body has.
func (b *broker) handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("POST /users", b.endpoint(b.createUser, "username", "password", "collection_id"))
	mux.HandleFunc("POST /login", b.endpoint(b.login, "username", "password"))
	mux.HandleFunc("POST /insert", b.endpoint(b.insert, "event", "collection_id", "timestamp", "data"))
	mux.HandleFunc("GET /events", b.stream)
	mux.HandleFunc("GET /events/user", b.endpoint(b.listUser))
	mux.HandleFunc("GET /events/collections/{id}", b.endpoint(b.listCollection))
	// Every action, because the pattern /events/{id}/cancel conflicts with the one above.
	mux.HandleFunc("GET /events/{id}/{action}", b.endpoint(b.cancel))
	return b.realtime.AllowOrigins(mux)
}

// request is a request whose credentials and fields were checked.
type request struct {
	*http.Request
	input input
	user  user // zero where the request has a password and no token
}

// endpoint returns the handler of an endpoint: serve returns what is written as JSON, or an
// error, which is written as {"error": text}. It goes on when the client has disconnected, so
// that nothing is left half done.
func (b *broker) endpoint(serve func(*request) (any, error), fields ...string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(r.Context()), requestTimeout)
		defer cancel()
		checked := &request{Request: r.WithContext(ctx)}
		checked.Body = http.MaxBytesReader(w, r.Body, maxBodyBytes)
		err := b.check(checked, fields)
		var response any
		if err == nil {
			response, err = serve(checked)
		}
		status := http.StatusOK
		if err != nil {
			reported := asRequestError(err)
			status, response = reported.status, map[string]string{"error": reported.text}
		}
		if status >= http.StatusInternalServerError {
			b.log.Warn("a request failed", "method", r.Method, "path", r.URL.Path, "error", err)
		}
		if status == http.StatusUnauthorized {
			w.Header().Set("WWW-Authenticate", "Bearer")
		}
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(status)
		_ = json.NewEncoder(w).Encode(response) // fails where the client has disconnected
	}
}

// requestError is an error whose status and text are sent to the client.
type requestError struct {
	status int
	text   string
}

func (e *requestError) Error() string { return e.text }

// asRequestError returns what the client is sent for an error.
func asRequestError(err error) *requestError {
	var reported *requestError
	var rejection *sharedata.Rejection
	switch {
	case errors.As(err, &reported):
		return reported
	case errors.As(err, &rejection): // all rejections are for want of room
		return &requestError{http.StatusInsufficientStorage, rejection.Reason}
	case errors.Is(err, schedule.ErrFull):
		return &requestError{http.StatusInsufficientStorage, "too many events wait for their time"}
	case errors.Is(err, schedule.ErrBegun):
		return &requestError{http.StatusConflict, "the event is published already"}
	case errors.Is(err, schedule.ErrUnknown):
		return &requestError{http.StatusNotFound, "no event by this id waits for its time"}
	// The data is a part of what is proposed, and of the state that a function returns.
	case errors.Is(err, sharedata.ErrInvalidInput), errors.Is(err, sharedata.ErrFunctionFailed) && errors.Is(err, sharedata.ErrInvalidState):
		return &requestError{http.StatusBadRequest, "data must be UTF-8, must not nest deeper than 996 levels, and must not have two members of one name in an object"}
	}
	return &requestError{http.StatusServiceUnavailable, "the store cannot be reached; what was sent may have been done or not: GET /events/user shows which"}
}
