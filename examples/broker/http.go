package main

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"

	"github.com/safe-go/safe/sharedata"
	"github.com/safe-go/safe/sharedata/schedule"
)

// maxBodyBytes is the size of the largest body of a request.
const maxBodyBytes = 256 << 10

// requestError is an error that the client is told.
type requestError struct {
	status int
	text   string
}

func (e *requestError) Error() string { return e.text }

func badRequest(text string) *requestError { return &requestError{http.StatusBadRequest, text} }

var errNotAuthenticated = &requestError{http.StatusUnauthorized, "log in, and send the header Authorization: Bearer with the jwt"}

// public returns the handler of an endpoint for everybody.
func (b *broker) public(serve func(r *http.Request, body []byte) (any, error)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBodyBytes))
		var response any
		if err == nil {
			response, err = serve(r, body)
		}
		b.respond(w, r, response, err)
	}
}

// authenticated returns the handler of an endpoint for users.
func (b *broker) authenticated(serve func(r *http.Request, body []byte, userID string) (any, error)) http.HandlerFunc {
	return b.public(func(r *http.Request, body []byte) (any, error) {
		caller, err := b.tokens.Authenticate(r)
		if err != nil {
			return nil, errNotAuthenticated
		}
		return serve(r, body, caller.Subject)
	})
}

// respond writes a response, or an error as {"error": text}.
func (b *broker) respond(w http.ResponseWriter, r *http.Request, response any, err error) {
	status := http.StatusOK
	if err != nil {
		told := asRequestError(err)
		status, response = told.status, map[string]string{"error": told.text}
	}
	header := w.Header()
	header.Set("Content-Type", "application/json")
	header.Set("Cache-Control", "no-store")
	switch {
	case status == http.StatusUnauthorized:
		header.Set("WWW-Authenticate", "Bearer")
	case status == http.StatusTooManyRequests:
		header.Set("Retry-After", "60")
	case status >= http.StatusInternalServerError:
		b.log.Warn("a request failed", "method", r.Method, "path", r.URL.Path, "error", err)
	}
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(response) // fails where the client has gone
}

// asRequestError returns what the client is told of an error.
func asRequestError(err error) *requestError {
	var told *requestError
	var tooLarge *http.MaxBytesError
	switch {
	case errors.As(err, &told):
		return told
	case errors.As(err, &tooLarge):
		return &requestError{http.StatusRequestEntityTooLarge, "the body is too large"}
	case errors.Is(err, sharedata.ErrInvalidInput), errors.Is(err, sharedata.ErrInvalidState), errors.Is(err, schedule.ErrInvalid):
		return badRequest("the body nests too deeply, or is not UTF-8")
	case errors.Is(err, schedule.ErrFull):
		return &requestError{http.StatusInsufficientStorage, "too many events wait for their time"}
	case errors.Is(err, sharedata.ErrStore), errors.Is(err, sharedata.ErrBusy), errors.Is(err, sharedata.ErrOutcomeUnknown),
		errors.Is(err, sharedata.ErrClosed), errors.Is(err, context.DeadlineExceeded), errors.Is(err, context.Canceled):
		return &requestError{http.StatusServiceUnavailable, "the store cannot be reached; what was sent may have been done or not: GET /events/user tells"}
	}
	return &requestError{http.StatusInternalServerError, "internal error"}
}
