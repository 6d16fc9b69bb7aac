package audit_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/lestrrat-go/jwx/v2/jwk"

	"github.com/safe-go/safe/replay"
	"github.com/safe-go/safe/sharedata"
	"github.com/safe-go/safe/sharedata/audit"
)

// The key is that of RFC 8037 appendix A.1.
const ed25519Key = `{"kty":"OKP","crv":"Ed25519","d":"nWGxne_9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}`

func newSigner(tb testing.TB, key string) *audit.Signer {
	tb.Helper()
	parsed, err := jwk.ParseKey([]byte(key))
	if err != nil {
		tb.Fatal(err)
	}
	signer, err := audit.NewSigner(parsed)
	if err != nil {
		tb.Fatal(err)
	}
	return signer
}

func publicKeys(tb testing.TB, signer *audit.Signer) jwk.Set {
	tb.Helper()
	keys, err := signer.PublicKeys()
	if err != nil {
		tb.Fatal(err)
	}
	return keys
}

// sealed completes the text of an entry up to stateHash: it is what any program does
// that writes the format, without this module.
func sealed(body, previous string) (text, hash string) {
	body += `,"previous":"` + previous + `"`
	sum := sha256.Sum256([]byte(body))
	hash = hex.EncodeToString(sum[:])
	return body + `,"hash":"` + hash + `"}`, hash
}

var noHash = strings.Repeat("0", 64)

// chainOf seals bodies as one history and returns its lines, with their line feeds.
func chainOf(bodies []string) (lines []string) {
	previous := noHash
	for _, body := range bodies {
		var text string
		text, previous = sealed(body, previous)
		lines = append(lines, text+"\n")
	}
	return lines
}

// bodiesOf returns the bodies of n entries of a counter.
func bodiesOf(n int) []string {
	bodies := []string{`{"shareDataId":"n","cursor":"7-1","type":"created","time":"2030-01-02T03:04:05Z","kind":"number","stateHash":"` + noHash + `"`}
	for i := 2; i <= n; i++ {
		bodies = append(bodies, fmt.Sprintf(`{"shareDataId":"n","cursor":"7-%d","type":"transaction","time":"2030-01-02T03:04:05.%09dZ","functionId":"add","proposedData":{"by":%d},`+
			`"accepted":true,"idempotencyKey":"key-%d","caller":{"subject":"ann","issuer":"https://issuer.example","claims":{"role":"admin"}},"stateHash":"%s"`,
			i, i%1e8*10+1, i, i, noHash))
	}
	return bodies
}

// exportOf returns the export of n entries.
func exportOf(n int) []byte { return []byte(strings.Join(chainOf(bodiesOf(n)), "")) }

// checkpointOf signs the entry in a line.
func checkpointOf(tb testing.TB, signer *audit.Signer, line string) audit.Checkpoint {
	tb.Helper()
	e, err := sharedata.ParseEntry(bytes.TrimSuffix([]byte(line), []byte("\n")))
	if err != nil {
		tb.Fatal(err)
	}
	c, err := signer.Sign(e.ShareDataID, e.Cursor, e.Hash, time.Date(2030, 1, 2, 3, 4, 6, 0, time.UTC))
	if err != nil {
		tb.Fatal(err)
	}
	return c
}

func at(revision uint64) replay.Cursor { return replay.Cursor{Epoch: 7, Revision: revision} }

type add struct {
	By int `json:"by"`
}

var addFunction = sharedata.NewFunction("add", func(_ context.Context, value int, in add) (int, error) {
	if value+in.By < 0 {
		return value, sharedata.RejectWith("negative", "the counter cannot go below zero", value)
	}
	return value + in.By, nil
})

func newManager(tb testing.TB, options *sharedata.Options) *sharedata.Manager {
	tb.Helper()
	manager, err := sharedata.NewManager(options)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { manager.Close() })
	return manager
}

func create(tb testing.TB, manager *sharedata.Manager, id string) {
	tb.Helper()
	if _, err := manager.Create(context.Background(), id, 0, addFunction); err != nil {
		tb.Fatal(err)
	}
}

func propose(tb testing.TB, manager *sharedata.Manager, id string, by int) replay.Cursor {
	tb.Helper()
	v, err := manager.Propose(context.Background(), sharedata.Proposal{ShareDataID: id, FunctionID: "add", Data: add{by}})
	if err != nil {
		tb.Fatal(err)
	}
	return v.Cursor
}
