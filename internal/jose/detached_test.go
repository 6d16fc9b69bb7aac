package jose

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"errors"
	"strings"
	"testing"

	"github.com/lestrrat-go/jwx/v2/jwk"
)

func TestDetached_RoundTrip(t *testing.T) {
	_, edwards, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	curve, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	payload := bytes.Repeat([]byte("x"), 2*MaxBytes)
	for _, raw := range []any{edwards, curve} {
		key, err := jwk.FromRaw(raw)
		if err != nil {
			t.Fatal(err)
		}
		keys := jwk.NewSet()
		if err := keys.AddKey(key); err != nil {
			t.Fatal(err)
		}
		compact, err := SignDetached(payload, "t", key)
		if err != nil || !strings.Contains(compact, "..") {
			t.Fatal(compact, err)
		}
		message, err := Parse(compact)
		if err != nil {
			t.Fatal(err)
		}
		with, err := message.WithPayload(payload)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := with.Verify(keys); err != nil || with.Header.Type != "t" {
			t.Error(err)
		}
		other, err := message.WithPayload(payload[1:])
		if err != nil {
			t.Fatal(err)
		}
		for name, m := range map[string]*Message{"another payload": other, "no payload": message} {
			if _, err := m.Verify(keys); !errors.Is(err, ErrSignature) {
				t.Errorf("%s: %v", name, err)
			}
		}
		if _, err := with.WithPayload(payload); !errors.Is(err, ErrMalformed) {
			t.Errorf("a payload of its own: %v", err)
		}
	}
}
