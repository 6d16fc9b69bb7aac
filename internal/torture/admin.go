package torture

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"sync"
	"time"

	"github.com/safe-go/safe/internal/checker"
	"github.com/safe-go/safe/replay"
	"github.com/safe-go/safe/sharedata"
)

// administrator updates, removes and creates ShareData through the HTTP
// administration of the servers.
type administrator struct {
	driver *driver
	http   *http.Client
}

// adminTimeout bounds one request. After it, the outcome is unknown.
const adminTimeout = 6 * time.Second

func newAdministrator(d *driver) *administrator {
	return &administrator{driver: d, http: &http.Client{Timeout: adminTimeout, Transport: &http.Transport{}}}
}

// statusError is an HTTP response other than success.
type statusError struct {
	status int
	text   string
}

func (e *statusError) Error() string { return fmt.Sprintf("HTTP status %d: %s", e.status, e.text) }

func isStatus(err error, status int) bool {
	refused, ok := errors.AsType[*statusError](err)
	return ok && refused.status == status
}

var errDown = errors.New("the server is down")

// call makes a request and passes the body of the response to read.
func (a *administrator) call(ctx context.Context, server *process, method, path string, body []byte, read func(io.Reader) error) error {
	url := server.url()
	if url == "" {
		return errDown
	}
	request, err := http.NewRequestWithContext(ctx, method, url+path, bytes.NewReader(body))
	if err != nil {
		return err
	}
	response, err := a.http.Do(request)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	if response.StatusCode >= 300 {
		text, _ := io.ReadAll(io.LimitReader(response.Body, 1000))
		return &statusError{response.StatusCode, string(text)}
	}
	return read(response.Body)
}

func (a *administrator) snapshot(ctx context.Context, server *process, id string) (snapshot sharedata.Snapshot, err error) {
	err = a.call(ctx, server, "GET", "/admin/sharedata/"+id, nil, func(body io.Reader) error {
		return json.NewDecoder(body).Decode(&snapshot)
	})
	return snapshot, err
}

func (a *administrator) history(ctx context.Context, server *process, id string) (entries []sharedata.Entry, err error) {
	err = a.call(ctx, server, "GET", "/admin/history/"+id, nil, func(body io.Reader) error {
		for decoder := json.NewDecoder(body); ; {
			var e sharedata.Entry
			if err := decoder.Decode(&e); err == io.EOF {
				return nil
			} else if err != nil {
				return err
			}
			entries = append(entries, e)
		}
	})
	if err == nil && len(entries) == 0 {
		err = fmt.Errorf("the history of %s is empty", id)
	}
	return entries, err
}

// change makes a request to update or create, and records the result.
func (a *administrator) change(ctx context.Context, server *process, method, path string, pending *checker.Pending, state json.RawMessage) error {
	var snapshot sharedata.Snapshot
	err := a.call(ctx, server, method, path, state, func(body io.Reader) error {
		return json.NewDecoder(body).Decode(&snapshot)
	})
	switch {
	case err == nil:
		pending.Answered(checker.Answer{Accepted: true, TransactionID: snapshot.Cursor.String()})
	case errors.As(err, new(*statusError)):
		pending.Answered(checker.Answer{Error: err.Error()})
	}
	return err
}

func (a *administrator) create(ctx context.Context, server *process, id string, state json.RawMessage) error {
	pending := a.driver.recorder.Creating(checker.Proposal{Proposer: "administrator", ShareData: id, Data: state})
	return a.change(ctx, server, "POST", "/admin/"+kindOf(id)+"/"+id, pending, state)
}

func (a *administrator) update(ctx context.Context, server *process, id string, state json.RawMessage) error {
	pending := a.driver.recorder.Updating(checker.Proposal{Proposer: "administrator", ShareData: id, Data: state})
	return a.change(ctx, server, "PUT", "/admin/sharedata/"+id, pending, state)
}

// remove records the history as far as it can be read, and removes the ShareData.
func (a *administrator) remove(ctx context.Context, server *process, id string) error {
	if entries, err := a.driver.backend.history(ctx, id); err == nil {
		a.driver.recorder.PartialHistory(entries)
	}
	removed := a.driver.recorder.Removing(id)
	defer func() { removed(replay.NewEpoch(0)) }()
	return a.call(ctx, server, "DELETE", "/admin/sharedata/"+id, nil, func(io.Reader) error { return nil })
}

func (a *administrator) createAll(ctx context.Context) error {
	for i, id := range a.driver.ids {
		server := a.driver.processes[i%len(a.driver.processes)]
		if err := a.create(ctx, server, id, randomState(stream(a.driver.options.Seed, id), id)); err != nil {
			return fmt.Errorf("create %s: %w", id, err)
		}
	}
	return nil
}

// work updates, removes and creates until the clients have done enough.
func (a *administrator) work(rng *rand.Rand) {
	for ctx := a.driver.work; ctx.Err() == nil; {
		id := a.driver.ids[rng.IntN(len(a.driver.ids))]
		server := a.any(rng)
		switch state := randomState(rng, id); rng.IntN(10) {
		case 0:
			if a.driver.reserveOperation() && a.remove(ctx, server, id) == nil {
				a.createAtTwo(ctx, rng, id)
			}
		case 1, 2, 3: // create what the store has lost
			for _, id := range a.driver.ids {
				if _, err := a.snapshot(ctx, server, id); isStatus(err, http.StatusNotFound) {
					a.createAtTwo(ctx, rng, id)
				}
			}
		default:
			if a.driver.reserveOperation() {
				_ = a.update(ctx, server, id, state) // the recorder knows what came of it
			}
		}
		for range 4 {
			a.driver.think(rng)
		}
	}
}

func (a *administrator) any(rng *rand.Rand) *process {
	return a.driver.processes[rng.IntN(len(a.driver.processes))]
}

// createAtTwo creates a ShareData at two servers at once, of which one succeeds.
func (a *administrator) createAtTwo(ctx context.Context, rng *rand.Rand, id string) {
	for ctx.Err() == nil {
		var both sync.WaitGroup
		errs := make([]error, 2)
		for i := range errs {
			server, state := a.any(rng), randomState(rng, id)
			both.Go(func() { errs[i] = a.create(ctx, server, id, state) })
		}
		both.Wait()
		for _, err := range errs {
			if err == nil || isStatus(err, http.StatusConflict) {
				return
			}
		}
		a.driver.think(rng)
	}
}
