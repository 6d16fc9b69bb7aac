package proof_test

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"errors"
	"net"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"time"

	"github.com/lestrrat-go/jwx/v2/jwk"
	"go.uber.org/goleak"

	"github.com/safe-go/safe/client"
	"github.com/safe-go/safe/client/proof"
	"github.com/safe-go/safe/internal/sharedstore"
	"github.com/safe-go/safe/realtime"
	"github.com/safe-go/safe/sharedata"
	verifying "github.com/safe-go/safe/sharedata/proof"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

type Counter struct {
	Value int `json:"value"`
}

type Add struct {
	By int `json:"by"`
}

var add = sharedata.NewFunction("add", func(_ context.Context, c Counter, in Add) (Counter, error) {
	if in.By == 0 {
		return c, sharedata.Reject("nothing to add")
	}
	c.Value += in.By
	return c, nil
}).WithRequiredProof()

// process is a server of "counter" on a store that processes share. Its callers are
// who they say in the query.
type process struct {
	manager *sharedata.Manager
	url     string
}

func newProcess(t testing.TB, medium *sharedstore.Medium, keys verifying.Keys) process {
	t.Helper()
	store := medium.Process()
	manager, err := sharedata.NewManager(&sharedata.Options{Store: store, ProofVerifier: verifying.NewVerifier(keys)})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := manager.Ensure(context.Background(), "counter", Counter{}, add); err != nil {
		t.Fatal(err)
	}
	server, err := realtime.NewServer(manager, &realtime.Options{
		Authenticate: func(r *http.Request) (*sharedata.Caller, error) {
			subject := r.URL.Query().Get("token")
			if subject == "" {
				return nil, errors.New("nobody")
			}
			return &sharedata.Caller{Issuer: "i", Subject: subject}, nil
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	listener := httptest.NewServer(server)
	t.Cleanup(func() {
		server.Close()
		listener.Close()
		manager.Close()
		store.Close()
	})
	return process{manager, listener.URL}
}

// newSigner makes a key for the subject and registers it.
func newSigner(t testing.TB, keys *verifying.Registry, subject string, curve bool) *proof.Signer {
	t.Helper()
	var private crypto.Signer
	var err error
	if curve {
		private, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	} else {
		_, private, err = ed25519.GenerateKey(rand.Reader)
	}
	if err != nil {
		t.Fatal(err)
	}
	public, err := jwk.FromRaw(private.Public())
	if err == nil {
		err = public.Set(jwk.KeyIDKey, "key of "+subject)
	}
	if err == nil {
		err = keys.Add("i", subject, public)
	}
	if err != nil {
		t.Fatal(err)
	}
	signer, err := proof.NewSigner("i", subject, "key of "+subject, private)
	if err != nil {
		t.Fatal(err)
	}
	return signer
}

// cutter is a client's way to a server, which can be cut.
type cutter struct {
	mu   sync.Mutex
	conn net.Conn
}

func (c *cutter) dial(ctx context.Context, network, address string) (net.Conn, error) {
	conn, err := new(net.Dialer).DialContext(ctx, network, address)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.conn = conn
	return conn, err
}

// cut ends the connection without a close frame.
func (c *cutter) cut() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.conn != nil {
		c.conn.Close()
	}
}

// connect returns a client of the subject that is subscribed to "counter", and consumes
// its events.
func connect(t testing.TB, url, subject string) (*client.Client, *cutter) {
	t.Helper()
	line := &cutter{}
	c, err := client.Dial(context.Background(), url, &client.Options{
		HTTPClient: &http.Client{Transport: &http.Transport{DialContext: line.dial, DisableKeepAlives: true}},
		Token:      client.StaticToken(subject), TokenInQuery: true,
		Backoff: client.Backoff{Initial: time.Millisecond, Max: 10 * time.Millisecond},
	})
	if err != nil {
		t.Fatal(err)
	}
	sub := c.Subscribe("counter")
	consumed := make(chan struct{})
	go func() {
		defer close(consumed)
		for _, err := range sub.Events(context.Background()) {
			if err != nil && !errors.Is(err, client.ErrClosed) {
				t.Errorf("%s: %v", subject, err)
			}
		}
	}()
	t.Cleanup(func() { c.Close(); <-consumed })
	return c, line
}
