package main

import (
	"bytes"
	"crypto"
	"encoding/json"
	"errors"
	"flag"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/lestrrat-go/jwx/v2/jwa"
	"github.com/lestrrat-go/jwx/v2/jwk"
	"github.com/lestrrat-go/jwx/v2/jwt"

	"github.com/safe-go/safe/client"
	"github.com/safe-go/safe/client/proof"
	"github.com/safe-go/safe/schemas/codes"
)

const secret = "a secret of at least 32 bytes, for tests"

// newToken returns a token as the command prints it.
func newToken(t *testing.T, args ...string) string {
	t.Helper()
	var out bytes.Buffer
	if err := printToken(append([]string{"-jwt-hs256", secret, "-issuer", "issuer"}, args...), &out); err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(out.String())
}

func dial(t *testing.T, url, token string) *client.Client {
	t.Helper()
	c, err := client.Dial(t.Context(), url+"/realtime", &client.Options{Token: client.StaticToken(token)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

func bearer(token string) http.Header { return http.Header{"Authorization": {"Bearer " + token}} }

func TestToken_Channels(t *testing.T) {
	url := start(t, config{replay: 100, secret: secret})
	for _, channels := range []string{"counter", "cou*,other", ""} {
		c := dial(t, url, newToken(t, "-channels", channels))
		for event, err := range c.Subscribe("counter").Events(t.Context()) {
			if _, ok := event.(*client.State); !ok || err != nil {
				t.Errorf("subscribe with the channels %q: %+v, %v", channels, event, err)
			}
			break
		}
	}
	c := dial(t, url, newToken(t, "-channels", "doc"))
	for _, err := range c.Subscribe("counter").Events(t.Context()) {
		var refused *client.ServerError
		if !errors.As(err, &refused) || refused.Code != codes.UnauthorizedSubscribe {
			t.Errorf("subscribe to what is not listed: %v", err)
		}
		break
	}
	var refused *client.ProposalError
	if _, err := c.Propose(t.Context(), "counter", "add", addInput{By: 1}); !errors.As(err, &refused) || refused.Code != codes.Unauthorized {
		t.Errorf("propose to what is not listed: %v", err)
	}
	for name, token := range map[string]string{
		"another issuer":   newToken(t, "-issuer", "other"),
		"another audience": newToken(t, "-audience", "OTHER"), "no token": "x",
	} {
		if _, err := client.Dial(t.Context(), url+"/realtime?token="+token, nil); !errors.Is(err, client.ErrUnauthorized) {
			t.Errorf("dial with %s: %v", name, err)
		}
	}
}

func TestToken_JWKS(t *testing.T) {
	private := newKey(t, filepath.Join(t.TempDir(), "key.json"))
	public, err := private.PublicKey()
	if err != nil {
		t.Fatal(err)
	}
	set := jwk.NewSet()
	if err := set.AddKey(public); err != nil {
		t.Fatal(err)
	}
	text, err := json.Marshal(set)
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "keys.json")
	if err := os.WriteFile(file, text, 0o600); err != nil {
		t.Fatal(err)
	}
	issuer := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.Write(text) }))
	defer issuer.Close()
	plain, err := jwt.ParseInsecure([]byte(newToken(t)))
	if err != nil {
		t.Fatal(err)
	}
	token, err := jwt.Sign(plain, jwt.WithKey(jwa.EdDSA, private))
	if err != nil {
		t.Fatal(err)
	}
	for _, address := range []string{file, issuer.URL} {
		url := start(t, config{replay: 100, jwks: address})
		if result, err := dial(t, url, string(token)).Propose(t.Context(), "counter", "add", addInput{By: 1}); err != nil || !result.Accepted {
			t.Errorf("with the keys of %s: %+v, %v", address, result, err)
		}
		if _, err := client.Dial(t.Context(), url+"/realtime?token="+newToken(t), nil); !errors.Is(err, client.ErrUnauthorized) {
			t.Errorf("with the keys of %s and a token by a secret: %v", address, err)
		}
	}
}

func TestAdministration_NeedsClaim(t *testing.T) {
	url := start(t, config{replay: 100, secret: secret})
	for token, want := range map[string]int{"": 401, "x": 401, newToken(t): 403, newToken(t, "-admin", "-subject", "root"): 200} {
		if got, _ := request(t, "PUT", url+"/admin/sharedata/doc", `1`, bearer(token)); got != want {
			t.Errorf("status %d, want %d", got, want)
		}
	}
	r, err := http.NewRequestWithContext(t.Context(), "GET", url+"/admin/history/doc?token="+newToken(t, "-admin"), nil)
	if err != nil {
		t.Fatal(err)
	}
	response, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	var history bytes.Buffer
	history.ReadFrom(response.Body)
	if lines := strings.Split(history.String(), "\n"); len(lines) != 3 || !strings.Contains(lines[1], `"caller":{"subject":"root"`) {
		t.Errorf("the history is\n%s", history.String())
	}
}

func TestRevocation(t *testing.T) {
	for name, c := range map[string]config{"plain": {}, "with proofs": {requireProof: true}} {
		t.Run(name, func(t *testing.T) {
			c.replay, c.secret = 100, secret
			testRevocation(t, start(t, c))
		})
	}
}

func testRevocation(t *testing.T, url string) {
	token := newToken(t, "-subject", "eve")
	c := dial(t, url, token)
	if status, answer := request(t, "POST", url+"/admin/revocations", `{"who":"eve"}`, bearer(newToken(t, "-admin"))); status != http.StatusBadRequest {
		t.Errorf("a revocation of nobody: %d %v", status, answer)
	}
	if status, answer := request(t, "POST", url+"/admin/revocations", `{"subject":"eve"}`, bearer(newToken(t, "-admin"))); status != http.StatusNoContent {
		t.Fatalf("revoke: %d %v", status, answer)
	}
	if _, err := c.Propose(t.Context(), "counter", "add", addInput{By: 1}); !errors.Is(err, client.ErrUnauthorized) {
		t.Errorf("propose after the revocation: %v", err)
	}
	admin := newToken(t, "-admin", "-subject", "root")
	if status, answer := request(t, "POST", url+"/admin/revocations", `{"subject":"root"}`, bearer(admin)); status != http.StatusNoContent {
		t.Fatalf("revoke: %d %v", status, answer)
	}
	if status, _ := request(t, "GET", url+"/admin/sharedata/doc", "", bearer(admin)); status != http.StatusUnauthorized {
		t.Errorf("the administration lets a revoked administrator in: %d", status)
	}
	if _, err := client.Dial(t.Context(), url+"/realtime?token="+token, nil); !errors.Is(err, client.ErrUnauthorized) {
		t.Errorf("dial after the revocation: %v", err)
	}
}

// newKey returns the private key that the command creates in a file.
func newKey(t *testing.T, name string) jwk.Key {
	t.Helper()
	newToken(t, "-proof-key", name)
	text, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	key, err := jwk.ParseKey(text)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func TestRequireProof(t *testing.T) {
	url := start(t, config{replay: 100, secret: secret, requireProof: true})
	name := filepath.Join(t.TempDir(), "key.json")
	key := newKey(t, name)
	var raw crypto.Signer
	if err := key.Raw(&raw); err != nil {
		t.Fatal(err)
	}
	signer, err := proof.NewSigner("issuer", "ann", key.KeyID(), raw)
	if err != nil {
		t.Fatal(err)
	}
	c := dial(t, url, newToken(t, "-proof-key", name))
	c.Subscribe("counter")
	result, err := c.ProposeWith(t.Context(), client.Proposal{ShareDataID: "counter", FunctionID: "add", Data: addInput{By: 1}, Prove: signer.Prove})
	if err != nil || !result.Accepted {
		t.Errorf("with a proof: %+v, %v", result, err)
	}
	var refused *client.ProposalError
	if _, err := c.Propose(t.Context(), "counter", "add", addInput{By: 1}); !errors.As(err, &refused) || refused.Code != codes.ProofRequired {
		t.Errorf("without a proof: %v", err)
	}
	// The key is not that of this token.
	stranger := dial(t, url, newToken(t))
	stranger.Subscribe("counter")
	_, err = stranger.ProposeWith(t.Context(), client.Proposal{ShareDataID: "counter", FunctionID: "add", Data: addInput{By: 1}, Prove: signer.Prove})
	if !errors.As(err, &refused) || refused.Code != codes.ProofInvalid {
		t.Errorf("with a proof by an unknown key: %v", err)
	}
}

// The usage, which a mistyped flag prints too, does not show the secret.
func TestTokenFlags_HideSecret(t *testing.T) {
	t.Setenv(secretVariable, secret)
	var usage bytes.Buffer
	flags := flag.NewFlagSet("server", flag.ContinueOnError)
	flags.SetOutput(&usage)
	tokenFlags(flags, &config{})
	flags.Usage()
	if text := usage.String(); !strings.Contains(text, "-jwt-hs256") || strings.Contains(text, secret) {
		t.Errorf("the usage is %s", text)
	}
	if err := printToken([]string{"-lifetime", "0s"}, &usage); err == nil {
		t.Error("a token that is good for no time was made")
	}
}

func TestFlags_Excluded(t *testing.T) {
	for name, c := range map[string]config{
		"two kinds of tokens":   {token: "t", secret: secret},
		"a secret and keys":     {jwks: "keys.json", secret: secret},
		"proofs without tokens": {requireProof: true},
		"a short secret":        {secret: strings.Repeat("s", 31)},
		"no such file":          {secret: "@/nowhere"},
	} {
		c.store, c.issuer, c.audience = "mem:", "issuer", "SHAREDATA"
		if err := run(t.Context(), c, nil, nil); err == nil || !slices.ContainsFunc([]string{"-token", "-jwt-hs256"}, func(flag string) bool { return strings.Contains(err.Error(), flag) }) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
