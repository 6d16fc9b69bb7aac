package main

import (
	"encoding/json"
	"errors"
	"io"
	"net/http"

	"github.com/safe-go/safe/realtime"
	"github.com/safe-go/safe/replay"
	"github.com/safe-go/safe/sharedata"
	"github.com/safe-go/safe/sharedata/audit"
)

// maxBody is the largest state that the administration accepts, in bytes.
const maxBody = 1 << 20

// adminHandler serves the administration of ShareData:
//
//	POST   /admin/sharedata/{id}  creates; the body is the first state
//	PUT    /admin/sharedata/{id}  replaces the state by the body
//	DELETE /admin/sharedata/{id}  removes
//	GET    /admin/sharedata/{id}  returns state and cursor
//	GET    /admin/sharedata/{id}/{cursor}  returns the state that it had there
//	GET    /admin/history/{id}    returns the history as JSON Lines, for an audit
//	POST   /admin/revocations     {"subject":…,"issuer":…,"tokenId":…} ends connections, and keeps the tokens out
//
// What it creates is of kind "doc", except for the ShareData of initial.
func adminHandler(manager *sharedata.Manager, server *realtime.Server) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("POST /admin/sharedata/{id}", func(w http.ResponseWriter, r *http.Request) {
		if state, ok := readState(w, r); ok {
			id, kind := r.PathValue("id"), "doc"
			if owned, ok := initial[id]; ok {
				kind = owned.kind
			}
			snapshot, err := manager.CreateKind(r.Context(), id, kind, state)
			respond(w, http.StatusCreated, snapshot, err)
		}
	})
	mux.HandleFunc("PUT /admin/sharedata/{id}", func(w http.ResponseWriter, r *http.Request) {
		if state, ok := readState(w, r); ok {
			snapshot, err := manager.Update(r.Context(), r.PathValue("id"), state)
			respond(w, http.StatusOK, snapshot, err)
		}
	})
	mux.HandleFunc("GET /admin/sharedata/{id}", func(w http.ResponseWriter, r *http.Request) {
		snapshot, err := manager.Get(r.Context(), r.PathValue("id"))
		respond(w, http.StatusOK, snapshot, err)
	})
	mux.HandleFunc("GET /admin/sharedata/{id}/{cursor}", func(w http.ResponseWriter, r *http.Request) {
		cursor, err := replay.ParseCursor(r.PathValue("cursor"))
		var state json.RawMessage
		if err == nil {
			state, err = manager.StateAt(r.Context(), r.PathValue("id"), cursor)
		}
		if err != nil {
			respond(w, 0, sharedata.Snapshot{}, err)
			return
		}
		writeJSON(w, http.StatusOK, map[string]any{"id": r.PathValue("id"), "state": state, "cursor": cursor})
	})
	mux.HandleFunc("DELETE /admin/sharedata/{id}", func(w http.ResponseWriter, r *http.Request) {
		if err := manager.Remove(r.Context(), r.PathValue("id")); err != nil {
			respond(w, 0, sharedata.Snapshot{}, err)
			return
		}
		w.WriteHeader(http.StatusNoContent)
	})
	mux.HandleFunc("GET /admin/history/{id}", func(w http.ResponseWriter, r *http.Request) {
		// A failure shows as a response without an end, or as a status if nothing was sent.
		w.Header().Set("Content-Type", "application/jsonl")
		_, err := audit.Export(r.Context(), w, manager, r.PathValue("id"), nil)
		switch {
		case errors.Is(err, sharedata.ErrUnknownShareData), errors.Is(err, sharedata.ErrInvalidID):
			respond(w, 0, sharedata.Snapshot{}, err)
		case err != nil:
			panic(http.ErrAbortHandler)
		}
	})
	mux.HandleFunc("POST /admin/revocations", func(w http.ResponseWriter, r *http.Request) {
		revoke(w, r, server)
	})
	return mux
}

// revoke replies once no server on the store sends anything more to the revoked callers.
func revoke(w http.ResponseWriter, r *http.Request, server *realtime.Server) {
	var revocation realtime.Revocation
	decoder := json.NewDecoder(http.MaxBytesReader(w, r.Body, maxBody))
	decoder.DisallowUnknownFields()
	err := decoder.Decode(&revocation)
	status := http.StatusBadRequest
	if err == nil {
		err = server.Revoke(r.Context(), revocation)
		if !errors.Is(err, realtime.ErrInvalidRevocation) {
			status = statusOf(err)
		}
	}
	if err != nil {
		writeJSON(w, status, map[string]string{"error": err.Error()})
		return
	}
	w.WriteHeader(http.StatusNoContent)
}

func readState(w http.ResponseWriter, r *http.Request) (json.RawMessage, bool) {
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
	if err != nil {
		var tooLarge *http.MaxBytesError
		status := http.StatusBadRequest
		if errors.As(err, &tooLarge) {
			status = http.StatusRequestEntityTooLarge
		}
		writeJSON(w, status, map[string]string{"error": err.Error()})
	}
	return body, err == nil
}

// respond writes the snapshot, or the error.
func respond(w http.ResponseWriter, status int, snapshot sharedata.Snapshot, err error) {
	if err != nil {
		writeJSON(w, statusOf(err), map[string]string{"error": err.Error()})
		return
	}
	body := struct {
		ID                string          `json:"id"`
		State             json.RawMessage `json:"state"`
		Cursor            string          `json:"cursor"`
		Revision          uint64          `json:"revision"`
		LastTransactionID *string         `json:"lastTransactionId"`
	}{ID: snapshot.ID, State: snapshot.State, Cursor: snapshot.Cursor.String(), Revision: snapshot.Cursor.Revision}
	if !snapshot.LastTransaction.IsZero() {
		last := snapshot.LastTransaction.String()
		body.LastTransactionID = &last
	}
	writeJSON(w, status, body)
}

func statusOf(err error) int {
	var notKept *replay.CursorError
	switch {
	case errors.Is(err, sharedata.ErrUnknownShareData), errors.Is(err, sharedata.ErrStateUnknown), errors.As(err, &notKept):
		return http.StatusNotFound
	case errors.Is(err, sharedata.ErrExists):
		return http.StatusConflict
	case errors.Is(err, sharedata.ErrInvalidState), errors.Is(err, sharedata.ErrInvalidID), errors.Is(err, replay.ErrBadCursor):
		return http.StatusBadRequest
	case errors.Is(err, sharedata.ErrStore), errors.Is(err, sharedata.ErrClosed), errors.Is(err, sharedata.ErrBusy):
		return http.StatusServiceUnavailable
	}
	return http.StatusInternalServerError
}

func writeJSON(w http.ResponseWriter, status int, value any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(value) // a failed write means that the client is gone
}
