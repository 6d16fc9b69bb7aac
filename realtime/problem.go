package realtime

import (
	"bytes"
	"encoding/json"
	"net/http"
	"strconv"
	"time"

	"github.com/safe-go/safe/schemas/codes"
)

// problem is why a request over HTTP is refused: problem details (RFC 9457) with the
// codes of package codes.
type problem struct {
	// Type is always about:blank, of which the Title is that of the Status (RFC 9457,
	// section 4.2.1): the Code says what kind of problem it is.
	Type          string          `json:"type"`
	Title         string          `json:"title"`
	Status        int             `json:"status"`
	Detail        string          `json:"detail"`
	Code          string          `json:"code,omitempty"`
	Details       json.RawMessage `json:"details,omitempty"`
	RetryAfterMs  uint64          `json:"retryAfterMs,omitempty"`
	CorrelationID string          `json:"correlationId,omitempty"`
}

func newProblem(status int, code, detail string) problem {
	return problem{Type: "about:blank", Title: http.StatusText(status), Status: status, Code: code, Detail: detail}
}

func (p problem) after(wait time.Duration) problem {
	p.RetryAfterMs = milliseconds(wait)
	return p
}

// problem is the problem of a request that failed.
func (f failure) problem() problem {
	p := newProblem(statusOf(f.code), f.code, f.text).after(f.retryAfter)
	p.Details = f.details
	return p
}

// header sets the header fields of the response, and returns its body.
func (p problem) header(h http.Header) []byte {
	body := new(bytes.Buffer)
	encoder := json.NewEncoder(body)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(p); err != nil {
		return nil // its Details are JSON
	}
	h.Set("Content-Type", "application/problem+json")
	h.Set("Content-Length", strconv.Itoa(body.Len()))
	h.Set("Cache-Control", "no-store")
	if p.RetryAfterMs > 0 {
		h.Set("Retry-After", strconv.FormatUint((p.RetryAfterMs+999)/1000, 10))
	}
	if p.Status == http.StatusUnauthorized {
		h.Set("WWW-Authenticate", "Bearer")
	}
	return body.Bytes()
}

// reject answers a request: one for a WebSocket with text, any other with problem
// details.
func reject(w http.ResponseWriter, r *http.Request, p problem) {
	body := p.header(w.Header())
	if isUpgrade(r) {
		http.Error(w, p.Detail, p.Status)
		return
	}
	w.WriteHeader(p.Status)
	if r.Method != http.MethodHead {
		w.Write(body)
	}
}

// statusOf returns the HTTP status for a code: of the results of proposals and of
// error frames.
func statusOf(code string) int {
	switch code {
	case codes.InvalidMessage, codes.InvalidKey:
		return http.StatusBadRequest
	case codes.Unauthorized, codes.UnauthorizedSubscribe, codes.ProofRequired, codes.ProofInvalid, codes.ProposingDisabled:
		return http.StatusForbidden
	case codes.UnknownShareData, codes.UnknownFunction:
		return http.StatusNotFound
	case codes.ProofStale:
		return http.StatusConflict
	case codes.ReplayCursorNotFound:
		return http.StatusGone
	case codes.InvalidInput:
		return http.StatusUnprocessableEntity
	case codes.RateLimited, codes.TooManySubscriptions:
		return http.StatusTooManyRequests
	case codes.Busy, codes.Unavailable, codes.ShuttingDown:
		return http.StatusServiceUnavailable
	case codes.OutcomeUnknown, codes.TimedOut:
		return http.StatusGatewayTimeout
	case codes.FunctionFailed, codes.InternalError:
		return http.StatusInternalServerError
	}
	return http.StatusForbidden // a code of a Refusal of the application
}
