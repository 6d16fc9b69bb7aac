package audit_test

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"fmt"
	"strings"
	"time"

	"github.com/lestrrat-go/jwx/v2/jwk"

	"github.com/safe-go/safe/sharedata"
	"github.com/safe-go/safe/sharedata/audit"
)

// newService returns a manager with a history of three entries, and a signer with a key
// of the service.
func newService() (*sharedata.Manager, *audit.Signer, error) {
	manager, err := sharedata.NewManager(nil)
	if err != nil {
		return nil, nil, err
	}
	if _, err := manager.Create(context.Background(), "till", 0, addFunction); err != nil {
		return nil, nil, err
	}
	for _, by := range []int{3, 4} {
		if _, err := manager.Propose(context.Background(), sharedata.Proposal{ShareDataID: "till", FunctionID: "add", Data: add{by}}); err != nil {
			return nil, nil, err
		}
	}
	_, private, err := ed25519.GenerateKey(nil)
	if err != nil {
		return nil, nil, err
	}
	key, err := jwk.FromRaw(private)
	if err != nil {
		return nil, nil, err
	}
	signer, err := audit.NewSigner(key)
	return manager, signer, err
}

// A service exports a history, and a third party checks it.
func Example() {
	manager, signer, err := newService()
	if err != nil {
		fmt.Println(err)
		return
	}
	defer manager.Close()
	var export bytes.Buffer
	if _, err := audit.Export(context.Background(), &export, manager, "till", &audit.ExportOptions{Signer: signer}); err != nil {
		fmt.Println(err)
		return
	}

	// The third party has the export and the public keys, and nothing else.
	keys, _ := signer.PublicKeys()
	options := &audit.Options{ShareDataID: "till", Keys: keys, RequireStart: true, RequireFinal: true}
	report, err := audit.Verify(bytes.NewReader(export.Bytes()), options)
	fmt.Println(report.Entries, "entries, signed up to revision", report.Newest.Cursor.Revision, err)

	tampered := strings.Replace(export.String(), `"by":4`, `"by":400`, 1)
	_, err = audit.Verify(strings.NewReader(tampered), options)
	fmt.Println(withoutEpoch(err))

	// Output:
	// 3 entries, signed up to revision 3 <nil>
	// line 3: the chain is broken at EPOCH-3: its hash is not that of its contents: it was changed
}

// withoutEpoch returns the text of an error that is the same in every run.
func withoutEpoch(err error) string {
	words := strings.Fields(err.Error())
	for i, word := range words {
		if _, revision, ok := strings.Cut(word, "-"); ok {
			words[i] = "EPOCH-" + revision
		}
	}
	return strings.Join(words, " ")
}

// An export can be read without checkpoints and keys.
func ExampleReadEntries() {
	manager, _, err := newService()
	if err != nil {
		fmt.Println(err)
		return
	}
	defer manager.Close()
	var export bytes.Buffer
	if _, err := audit.Export(context.Background(), &export, manager, "till", nil); err != nil {
		fmt.Println(err)
		return
	}
	for entry, err := range audit.ReadEntries(bytes.NewReader(export.Bytes()), nil) {
		if err != nil {
			fmt.Println(err)
			return
		}
		fmt.Println(entry.Revision(), entry.Type, entry.Accepted)
	}
	chain, err := sharedata.Verify(audit.ReadEntries(&export, nil))
	fmt.Println("unbroken up to revision", chain.Last.Revision, err)

	// Output:
	// 1 created false
	// 2 transaction true
	// 3 transaction true
	// unbroken up to revision 3 <nil>
}

// A service signs what has changed and gives it away. A history that was truncated
// afterwards does not agree with what was given away.
func ExampleCheckpointer() {
	manager, signer, err := newService()
	if err != nil {
		fmt.Println(err)
		return
	}
	defer manager.Close()
	var collected []string // at a third party
	checkpointer, err := audit.NewCheckpointer(manager, &audit.CheckpointerOptions{
		Signer:   signer,
		Interval: time.Hour,
		Sink: func(_ context.Context, c audit.Checkpoint) error {
			collected = append(collected, c.JWS)
			return nil
		},
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	ctx, stop := context.WithCancel(context.Background())
	stop() // a real service stops it before it closes the manager
	fmt.Println(checkpointer.Run(ctx))

	var export bytes.Buffer
	if _, err := audit.Export(context.Background(), &export, manager, "till", nil); err != nil {
		fmt.Println(err)
		return
	}
	lines := strings.SplitAfter(export.String(), "\n")
	keys, _ := signer.PublicKeys()
	report, err := audit.Verify(strings.NewReader(lines[0]+lines[1]+lines[2]), &audit.Options{Keys: keys, Checkpoints: collected})
	fmt.Println(report.CheckpointsMatched, "checkpoint agrees", err)
	_, err = audit.Verify(strings.NewReader(lines[0]+lines[1]), &audit.Options{Keys: keys, Checkpoints: collected})
	fmt.Println("truncated:", err != nil)

	// Output:
	// context canceled
	// 1 checkpoint agrees <nil>
	// truncated: true
}
