package audit_test

import (
	"crypto/rand"
	"crypto/rsa"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/lestrrat-go/jwx/v2/jwk"

	"github.com/safe-go/safe/internal/jose"
	"github.com/safe-go/safe/replay"
	"github.com/safe-go/safe/sharedata"
	"github.com/safe-go/safe/sharedata/audit"
)

// The key is that of RFC 7517 appendix A.2.
const p256Key = `{"kty":"EC","crv":"P-256","x":"MKBCTNIcKUSDii11ySs3526iDZ8AiTo7Tu6KPAqv7D4","y":"4Etl6SRW2YiLUrN5vfvVHuhp7x8PxltmWWlbbM4IFyM","d":"870MB6gfuTJ4HtUnUvYMyJpr5eUZNP4Bk43bVdj3eAE","kid":"1"}`

func parseKey(t *testing.T, text string) jwk.Key {
	t.Helper()
	key, err := jwk.ParseKey([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func TestCheckpoint_SignAndParse(t *testing.T) {
	zone := time.FixedZone("", 3600)
	for name, key := range map[string]string{"Ed25519": ed25519Key, "P-256": p256Key} {
		signer := newSigner(t, key)
		keys := publicKeys(t, signer)
		for _, id := range []string{"n", "", "<&>\u2028\"\\\x01\x7fé😀", strings.Repeat("x", sharedata.MaxIDBytes)} {
			c, err := signer.Sign(id, replay.Cursor{Epoch: 1<<64 - 1, Revision: 1}, sharedata.Hash{1, 2}, time.Date(2030, 1, 2, 4, 4, 5, 600, zone))
			if err != nil {
				t.Fatal(err)
			}
			if got, err := audit.ParseCheckpoint(c.JWS, keys); err != nil || got != c || got.ShareDataID != id {
				t.Errorf("%s: %+v, %v; want %+v", name, got, err, c)
			}
		}
	}
}

func TestParseCheckpoint_Refused(t *testing.T) {
	key := parseKey(t, ed25519Key)
	signer := newSigner(t, ed25519Key)
	keys := publicKeys(t, signer)
	named, _ := keys.Key(0)
	if err := key.Set(jwk.KeyIDKey, named.KeyID()); err != nil {
		t.Fatal(err)
	}
	const payload = `{"cursor":"7-1","hash":"0000000000000000000000000000000000000000000000000000000000000000","shareDataId":"n","time":"2030-01-02T03:04:05Z"}`
	sign := func(payload, typ string, key jwk.Key) string {
		compact, err := jose.Sign([]byte(payload), typ, key)
		if err != nil {
			t.Fatal(err)
		}
		return compact
	}
	if _, err := audit.ParseCheckpoint(sign(payload, audit.CheckpointType, key), keys); err != nil {
		t.Fatal(err)
	}
	raw, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	forRSA, err := jwk.FromRaw(raw)
	if err != nil {
		t.Fatal(err)
	}
	secret, err := jwk.FromRaw([]byte(strings.Repeat("s", 32)))
	if err != nil {
		t.Fatal(err)
	}
	for _, other := range []jwk.Key{forRSA, secret} { // the auditor's set may have more keys
		if err := keys.AddKey(other); err != nil {
			t.Fatal(err)
		}
	}
	with := func(old, replacement string) string {
		return sign(strings.Replace(payload, old, replacement, 1), audit.CheckpointType, key)
	}
	for name, compact := range map[string]string{
		"empty":           "",
		"no JWS":          "a.b.c",
		"another type":    sign(payload, "JWT", key),
		"no type":         sign(payload, "", key),
		"RSA":             sign(payload, audit.CheckpointType, forRSA),
		"HMAC":            sign(payload, audit.CheckpointType, secret),
		"another key":     sign(payload, audit.CheckpointType, parseKey(t, p256Key)),
		"payload empty":   sign("", audit.CheckpointType, key),
		"payload array":   sign("["+payload+"]", audit.CheckpointType, key),
		"space":           with(`"n"`, ` "n"`),
		"order":           with(`"shareDataId":"n","time":"2030-01-02T03:04:05Z"`, `"time":"2030-01-02T03:04:05Z","shareDataId":"n"`),
		"unknown member":  with(`"time"`, `"more":1,"time"`),
		"repeated member": with(`"time"`, `"shareDataId":"n","time"`),
		"missing member":  with(`"shareDataId":"n",`, ""),
		"escaped":         with(`"n"`, `"\u006e"`),
		"time zone":       with(`03:04:05Z`, `04:04:05+01:00`),
		"upper-case hash": with(`"hash":"00`, `"hash":"AB`),
		"short hash":      with(`"hash":"00`, `"hash":"0`),
		"bad cursor":      with(`7-1`, `7`),
		"not UTF-8":       with(`"n"`, "\"\xff\""),
	} {
		if c, err := audit.ParseCheckpoint(compact, keys); !errors.Is(err, audit.ErrBadCheckpoint) {
			t.Errorf("%s: %+v, %v", name, c, err)
		}
	}
}

func TestNewSigner_Refused(t *testing.T) {
	raw, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	forRSA, _ := jwk.FromRaw(raw)
	secret, _ := jwk.FromRaw([]byte(strings.Repeat("s", 32)))
	public, _ := parseKey(t, ed25519Key).PublicKey()
	for name, key := range map[string]jwk.Key{
		"RSA": forRSA, "secret": secret, "public": public,
		"for encryption": parseKey(t, strings.Replace(ed25519Key, "{", `{"use":"enc",`, 1)),
		"to verify":      parseKey(t, strings.Replace(ed25519Key, "{", `{"key_ops":["verify"],`, 1)),
	} {
		if _, err := audit.NewSigner(key); !errors.Is(err, jose.ErrKey) {
			t.Errorf("%s: %v", name, err)
		}
	}
	signer := newSigner(t, strings.Replace(ed25519Key, "{", `{"key_ops":["sign"],`, 1))
	c, err := signer.Sign("n", at(1), sharedata.Hash{}, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := audit.ParseCheckpoint(c.JWS, publicKeys(t, signer)); err != nil {
		t.Errorf("signed with a key for signing: %v", err)
	}
	if _, err := signer.Sign("n", at(1), sharedata.Hash{}, time.Date(10000, 1, 1, 0, 0, 0, 0, time.UTC)); err == nil {
		t.Error("a time that cannot be written is signed")
	}
}
