package audit_test

import (
	"bytes"
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/safe-go/safe/replay"
	"github.com/safe-go/safe/sharedata"
	"github.com/safe-go/safe/sharedata/audit"
)

// someManager has a ShareData with a creation, two verdicts, an update and a removal.
func someManager(t *testing.T, options *sharedata.Options) *sharedata.Manager {
	manager := newManager(t, options)
	create(t, manager, "n")
	propose(t, manager, "n", 3)
	propose(t, manager, "n", -9)
	ctx := sharedata.WithCaller(context.Background(), &sharedata.Caller{Subject: "<ann>", Claims: []byte(`{ "a": "<&>" }`)})
	if _, err := manager.Update(ctx, "n", 5); err != nil {
		t.Fatal(err)
	}
	return manager
}

func TestExport_Verified(t *testing.T) {
	manager := someManager(t, nil)
	signer := newSigner(t, p256Key)
	var out bytes.Buffer
	chain, err := audit.Export(t.Context(), &out, manager, "n", &audit.ExportOptions{Signer: signer})
	if err != nil || chain.Last.Revision != 4 {
		t.Fatal(chain, err)
	}
	report, err := audit.Verify(&out, &audit.Options{ShareDataID: "n", Keys: publicKeys(t, signer), RequireFinal: true, RequireStart: true})
	if err != nil || report.Chain != chain || report.Newest.Hash != chain.Hash {
		t.Errorf("%+v, %v; exported %+v", report, err, chain)
	}
}

// Each line is the record in the store.
func TestExport_Records(t *testing.T) {
	store, err := replay.NewMemory(nil)
	if err != nil {
		t.Fatal(err)
	}
	defer store.Close()
	manager := someManager(t, &sharedata.Options{Store: store})
	head, err := store.Load(t.Context(), "n", replay.Cursor{})
	if err != nil {
		t.Fatal(err)
	}
	stored, err := store.Read(t.Context(), "n", replay.Cursor{Epoch: head.Cursor.Epoch}, 10)
	if err != nil {
		t.Fatal(err)
	}
	var records []byte
	for _, e := range stored {
		records = append(append(records, e.Data...), '\n')
	}
	var out bytes.Buffer
	if _, err := audit.Export(t.Context(), &out, manager, "n", nil); err != nil || !bytes.Equal(out.Bytes(), records) {
		t.Errorf("%v; exported\n%s\nstored\n%s", err, out.Bytes(), records)
	}
}

// An export may be continued, and begin where the store was trimmed.
func TestExport_Parts(t *testing.T) {
	store, err := replay.NewMemory(&replay.MemoryOptions{MaxEntries: 3})
	if err != nil {
		t.Fatal(err)
	}
	defer store.Close()
	manager := someManager(t, &sharedata.Options{Store: store})
	signer := newSigner(t, ed25519Key)
	var out bytes.Buffer
	first, err := audit.Export(t.Context(), &out, manager, "n", &audit.ExportOptions{Signer: signer})
	if err != nil || first.First.Revision != 2 {
		t.Fatal(first, err)
	}
	nothing, err := audit.Export(t.Context(), &out, manager, "n", &audit.ExportOptions{Signer: signer, After: first.Last})
	if err != nil || nothing != (sharedata.Chain{}) {
		t.Fatal(nothing, err)
	}
	if err := manager.Remove(t.Context(), "n"); err != nil {
		t.Fatal(err)
	}
	create(t, manager, "n")
	propose(t, manager, "n", 1)
	if _, err := audit.Export(t.Context(), &out, manager, "n", &audit.ExportOptions{After: first.Last}); !errors.Is(err, replay.ErrUnknownEpoch) {
		t.Errorf("after the last entry of what was removed: %v", err)
	}
	report, err := audit.Verify(&out, &audit.Options{Keys: publicKeys(t, signer), RequireFinal: true})
	if err != nil || report.Chain != first || report.Entries != 3 || report.CheckpointsInExport != 1 {
		t.Errorf("%+v, %v", report, err)
	}
}

func TestExport_Errors(t *testing.T) {
	manager := someManager(t, nil)
	if _, err := audit.Export(t.Context(), &bytes.Buffer{}, manager, "m", nil); !errors.Is(err, sharedata.ErrUnknownShareData) {
		t.Errorf("unknown ShareData: %v", err)
	}
	full := errors.New("the disk is full")
	if _, err := audit.Export(t.Context(), failingWriter{full}, manager, "n", nil); !errors.Is(err, full) {
		t.Errorf("failing writer: %v", err)
	}
}

type failingWriter struct{ err error }

func (w failingWriter) Write([]byte) (int, error) { return 0, w.err }

// changedStore changes what is read from it.
type changedStore struct{ replay.Store }

func (s changedStore) Read(ctx context.Context, id string, after replay.Cursor, limit int) ([]replay.Entry, error) {
	entries, err := s.Store.Read(ctx, id, after, limit)
	for i, e := range entries {
		entries[i].Data = bytes.Replace(e.Data, []byte(`{"by":3}`), []byte(`{"by":4}`), 1)
	}
	return entries, err
}

// A broken history is exported whole, as evidence, but never signed.
func TestExport_BrokenHistory(t *testing.T) {
	store, err := replay.NewMemory(nil)
	if err != nil {
		t.Fatal(err)
	}
	defer store.Close()
	manager := someManager(t, &sharedata.Options{Store: changedStore{store}})
	var out strings.Builder
	chain, err := audit.Export(t.Context(), &out, manager, "n", &audit.ExportOptions{Signer: newSigner(t, ed25519Key)})
	broken, ok := errors.AsType[*sharedata.ChainError](err)
	if !ok || broken.Cursor.Revision != 2 || chain.Last.Revision != 1 {
		t.Errorf("%+v, %v", chain, err)
	}
	if lines := strings.Count(out.String(), "\n"); lines != 4 || strings.Contains(out.String(), "checkpoint") {
		t.Errorf("%d lines: %s", lines, out.String())
	}
}
