package main

import (
	"encoding/json"
	"errors"
	"io"
	"net/http"

	"github.com/safe-go/safe/replay"
	"github.com/safe-go/safe/sharedata"
)

// maxBody is the largest state that the administration takes, in bytes.
const maxBody = 1 << 20

// adminHandler serves the administration:
//
//	POST   /admin/{kind}/{id}     creates; the body is the initial state
//	PUT    /admin/sharedata/{id}  updates wholesale; the body is the new state
//	DELETE /admin/sharedata/{id}  removes
//	GET    /admin/sharedata/{id}  returns the snapshot
//	GET    /admin/history/{id}    returns the entries, one JSON text per line
func adminHandler(manager *sharedata.Manager) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("POST /admin/{kind}/{id}", func(w http.ResponseWriter, r *http.Request) {
		if state, ok := readState(w, r); ok {
			snapshot, err := manager.CreateKind(r.Context(), r.PathValue("id"), r.PathValue("kind"), state)
			respond(w, http.StatusCreated, snapshot, err)
		}
	})
	mux.HandleFunc("PUT /admin/sharedata/{id}", func(w http.ResponseWriter, r *http.Request) {
		if state, ok := readState(w, r); ok {
			snapshot, err := manager.Update(r.Context(), r.PathValue("id"), state)
			respond(w, http.StatusOK, snapshot, err)
		}
	})
	mux.HandleFunc("DELETE /admin/sharedata/{id}", func(w http.ResponseWriter, r *http.Request) {
		respond(w, http.StatusOK, sharedata.Snapshot{}, manager.Remove(r.Context(), r.PathValue("id")))
	})
	mux.HandleFunc("GET /admin/sharedata/{id}", func(w http.ResponseWriter, r *http.Request) {
		snapshot, err := manager.Get(r.Context(), r.PathValue("id"))
		respond(w, http.StatusOK, snapshot, err)
	})
	mux.HandleFunc("GET /admin/history/{id}", func(w http.ResponseWriter, r *http.Request) {
		encoder := json.NewEncoder(w)
		for e, err := range manager.History(r.Context(), r.PathValue("id"), replay.Cursor{}) {
			if err != nil {
				// What was written so far is no whole history. Cutting the
				// connection is how HTTP says so.
				panic(http.ErrAbortHandler)
			}
			if encoder.Encode(e) != nil {
				return
			}
		}
	})
	return mux
}

func readState(w http.ResponseWriter, r *http.Request) (json.RawMessage, bool) {
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
	}
	return body, err == nil
}

// respond writes the snapshot, or what went wrong.
func respond(w http.ResponseWriter, status int, snapshot sharedata.Snapshot, err error) {
	if err != nil {
		http.Error(w, err.Error(), statusOf(err))
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(snapshot) // the peer may be gone; there is nobody else to tell
}

func statusOf(err error) int {
	switch {
	case errors.Is(err, sharedata.ErrUnknownShareData):
		return http.StatusNotFound
	case errors.Is(err, sharedata.ErrExists):
		return http.StatusConflict
	case errors.Is(err, sharedata.ErrStore), errors.Is(err, sharedata.ErrClosed), errors.Is(err, sharedata.ErrBusy):
		return http.StatusServiceUnavailable
	}
	return http.StatusInternalServerError
}
