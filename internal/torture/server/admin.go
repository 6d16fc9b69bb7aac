package main

import (
	"encoding/json"
	"errors"
	"io"
	"net/http"

	"github.com/safe-go/safe/replay"
	"github.com/safe-go/safe/sharedata"
)

// adminHandler serves the administration:
//
//	POST   /admin/{kind}/{id}     creates; the body is the first state
//	PUT    /admin/sharedata/{id}  replaces the state by the body
//	DELETE /admin/sharedata/{id}  removes
//	GET    /admin/sharedata/{id}  returns the snapshot
//	GET    /admin/history/{id}    returns the entries, one JSON text per line
func adminHandler(manager *sharedata.Manager) http.Handler {
	mux := http.NewServeMux()
	handle := func(pattern string, do func(r *http.Request, id string, body json.RawMessage) (sharedata.Snapshot, error)) {
		mux.HandleFunc(pattern, func(w http.ResponseWriter, r *http.Request) {
			body, err := io.ReadAll(r.Body)
			if err != nil {
				http.Error(w, err.Error(), http.StatusBadRequest)
				return
			}
			snapshot, err := do(r, r.PathValue("id"), body)
			if err != nil {
				http.Error(w, err.Error(), statusOf(err))
				return
			}
			_ = json.NewEncoder(w).Encode(snapshot)
		})
	}
	handle("POST /admin/{kind}/{id}", func(r *http.Request, id string, body json.RawMessage) (sharedata.Snapshot, error) {
		return manager.CreateKind(r.Context(), id, r.PathValue("kind"), body)
	})
	handle("PUT /admin/sharedata/{id}", func(r *http.Request, id string, body json.RawMessage) (sharedata.Snapshot, error) {
		return manager.Update(r.Context(), id, body)
	})
	handle("DELETE /admin/sharedata/{id}", func(r *http.Request, id string, _ json.RawMessage) (sharedata.Snapshot, error) {
		return sharedata.Snapshot{}, manager.Remove(r.Context(), id)
	})
	handle("GET /admin/sharedata/{id}", func(r *http.Request, id string, _ json.RawMessage) (sharedata.Snapshot, error) {
		return manager.Get(r.Context(), id)
	})
	mux.HandleFunc("GET /admin/history/{id}", func(w http.ResponseWriter, r *http.Request) {
		encoder := json.NewEncoder(w)
		for e, err := range manager.History(r.Context(), r.PathValue("id"), replay.Cursor{}) {
			if err != nil {
				panic(http.ErrAbortHandler) // tells the client that the history is not complete
			}
			if encoder.Encode(e) != nil {
				return
			}
		}
	})
	return mux
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
