package realtime

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"

	"github.com/safe-go/safe/internal/wire"
	"github.com/safe-go/safe/replay"
	"github.com/safe-go/safe/schemas/codes"
	"github.com/safe-go/safe/sharedata"
)

// This file answers the requests that read: the state and the history of a ShareData.

// serveState answers with the state frame of a subscription that would begin now.
func (s *Server) serveState(w http.ResponseWriter, r *http.Request, pending *pendingConnection, counted *admitted) (goesOn bool) {
	m, p := s.mayRead(r, pending, counted)
	if p != nil {
		reject(w, r, *p)
		return false
	}
	snapshot, err := s.manager.Get(r.Context(), m.ShareDataID)
	if err != nil {
		reject(w, r, readProblem(m.ShareDataID, err))
		return false
	}
	tag := `"` + snapshot.Cursor.String() + `"`
	w.Header().Set("ETag", tag)
	w.Header().Set("Cache-Control", "private, no-cache") // ask each time whether it is the same
	if matchesTag(r.Header.Values("If-None-Match"), tag) {
		w.WriteHeader(http.StatusNotModified)
		return false
	}
	respondJSON(w, r, stateFrame(snapshot, stateExtras{withHash: true}).text)
	return false
}

// matchesTag reports whether an If-None-Match header has the entity tag (RFC 9110,
// section 13.1.2: weak comparison).
func matchesTag(header []string, tag string) bool {
	for part := range strings.SplitSeq(strings.Join(header, ","), ",") {
		if part = strings.TrimSpace(part); part == "*" || strings.TrimPrefix(part, "W/") == tag {
			return true
		}
	}
	return false
}

// Entries of a history in one response.
const (
	defaultHistoryLimit = 100
	maxHistoryLimit     = 1000
)

// nextCursorHeader has the cursor after the last entry of a history in lines.
const nextCursorHeader = "Safe-Next-Cursor"

// serveHistory answers with entries as they are replayed to subscribers with patches,
// and with the entry that created the ShareData.
func (s *Server) serveHistory(w http.ResponseWriter, r *http.Request, pending *pendingConnection, counted *admitted) (goesOn bool) {
	m, p := s.mayRead(r, pending, counted)
	if p != nil {
		reject(w, r, *p)
		return false
	}
	limit, after, err := historyBounds(r, m.Since)
	if err != nil {
		reject(w, r, newProblem(http.StatusBadRequest, codes.InvalidMessage, err.Error()))
		return false
	}
	h := history{ShareDataID: m.ShareDataID, Entries: []json.RawMessage{}, Next: m.Since}
	bytes := 0
	for entry, err := range s.manager.History(r.Context(), m.ShareDataID, after) {
		if err != nil {
			reject(w, r, readProblem(m.ShareDataID, err))
			return false
		}
		if h.More = len(h.Entries) == limit || bytes > pageBytes; h.More {
			break
		}
		text := historyText(&entry, formOf(m, nil))
		h.Entries, h.Next = append(h.Entries, text), entry.Cursor.String()
		bytes += len(text)
	}
	w.Header().Set("Cache-Control", "no-store")
	w.Header().Set(nextCursorHeader, h.Next)
	if accepts(r, jsonLinesType) || accepts(r, "application/x-ndjson") {
		h.respondLines(w, r)
		return false
	}
	text, err := json.Marshal(h)
	if err != nil {
		reject(w, r, newProblem(http.StatusInternalServerError, codes.InternalError, "the history cannot be written as JSON"))
		return false
	}
	respondJSON(w, r, text)
	return false
}

// history is the response of serveHistory.
type history struct {
	ShareDataID string            `json:"shareDataId"`
	Entries     []json.RawMessage `json:"entries"`
	Next        string            `json:"next"` // the cursor to read on from
	More        bool              `json:"more"` // at once, as there are more entries
}

const jsonLinesType = "application/jsonl"

func (h *history) respondLines(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", jsonLinesType)
	if r.Method == http.MethodHead {
		return
	}
	var lines []byte
	for _, text := range h.Entries {
		lines = append(append(lines, text...), '\n')
	}
	w.Write(lines)
}

// historyText returns an entry as it is replayed; that which created the ShareData as a
// lifecycle frame with its state.
func historyText(entry *sharedata.Entry, f form) json.RawMessage {
	if next := replayedFrame(entry, f); next != nil {
		return next.text
	}
	return encodeText(&wire.Lifecycle{
		ShareDataID: entry.ShareDataID, Event: string(entry.Type), CurrentState: entry.NewState, Replayed: true,
		Cursor: entry.Cursor.String(), Revision: entry.Revision(), StateHash: entry.StateHash.String(), Activity: activity(entry, f),
	})
}

func historyBounds(r *http.Request, since string) (limit int, after replay.Cursor, err error) {
	limit = defaultHistoryLimit
	if text := r.URL.Query().Get("limit"); text != "" {
		if limit, err = strconv.Atoi(text); err != nil || limit < 1 || limit > maxHistoryLimit {
			return 0, after, fmt.Errorf("limit must be a number from 1 to %d", maxHistoryLimit)
		}
	}
	if since != "" {
		if after, err = replay.ParseCursor(since); err != nil {
			return 0, after, errors.New("since is not a cursor of this server")
		}
	}
	return limit, after, nil
}

// mayRead decides whether a request may read what it names, like a subscribe.
func (s *Server) mayRead(r *http.Request, pending *pendingConnection, counted *admitted) (*wire.Subscribe, *problem) {
	if p, ok := s.countRequest(pending); !ok {
		return nil, &p
	}
	query := r.URL.Query()
	m := &wire.Subscribe{ShareDataID: query.Get("shareDataId"), Since: query.Get("since"), Patches: true, Activity: isTrue(query.Get("activity"))}
	if _, err := wire.DecodeClient(m.AppendTo(nil), wire.Limits{}); err != nil {
		p := newProblem(http.StatusBadRequest, codes.InvalidMessage, "name a ShareData: ?shareDataId=… ("+shorten(err.Error())+")")
		return nil, &p
	}
	if isReserved(m.ShareDataID) {
		p := readProblem(m.ShareDataID, sharedata.ErrUnknownShareData)
		return nil, &p
	}
	session, e := newExchange(s, r, pending, counted)
	defer session.helpers.Wait()
	defer session.out.close()
	defer session.serving.cancel()
	defer session.ctx.cancel()
	if err := session.maySubscribe(m); err != nil {
		p := refusal(err, codes.UnauthorizedSubscribe, fmt.Sprintf("not allowed to read %.60q", m.ShareDataID)).problem()
		if errors.Is(err, ErrExpired) {
			p = newProblem(http.StatusUnauthorized, codes.Unauthorized, reasonExpired)
		}
		e.cut()
		return nil, &p
	}
	// What was committed after a revocation must not be read by whom it is about.
	if err := s.lease.ensureValid(r.Context()); err != nil || s.revocations.isRevoked(session.caller(), session.info.OpenedAt) {
		p := readProblem(m.ShareDataID, context.DeadlineExceeded)
		if err == nil {
			p = newProblem(http.StatusUnauthorized, codes.Unauthorized, reasonRevoked)
		}
		return nil, &p
	}
	return m, nil
}

// readProblem is the problem of an error of the manager.
func readProblem(id string, err error) problem {
	var lost *replay.CursorError
	switch {
	case errors.Is(err, sharedata.ErrUnknownShareData), errors.Is(err, sharedata.ErrInvalidID):
		return newProblem(http.StatusNotFound, codes.UnknownShareData, unknownText(id))
	case errors.As(err, &lost):
		return newProblem(http.StatusGone, codes.ReplayCursorNotFound, "what followed since is not kept, or since is of another history; read the state")
	}
	return newProblem(http.StatusServiceUnavailable, codes.Unavailable, "the ShareData cannot be read at the moment; try again later").after(retryAfterUnavailable)
}
