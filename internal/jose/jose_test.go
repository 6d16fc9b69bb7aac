package jose_test

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/hmac"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"strings"
	"testing"

	"github.com/lestrrat-go/jwx/v2/jwk"

	"github.com/safe-go/safe/internal/jose"
)

// newKey returns a JWK of a raw key with some members set: name, value, name, ...
func newKey(t *testing.T, raw any, members ...any) jwk.Key {
	t.Helper()
	key, err := jwk.FromRaw(raw)
	for i := 0; err == nil && i < len(members); i += 2 {
		err = key.Set(members[i].(string), members[i+1])
	}
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func newRSA(t *testing.T, bits int) *rsa.PrivateKey {
	t.Helper()
	key, err := rsa.GenerateKey(rand.Reader, bits)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func newEC(t *testing.T, curve elliptic.Curve) *ecdsa.PrivateKey {
	t.Helper()
	key, err := ecdsa.GenerateKey(curve, rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func newEd25519(t *testing.T) ed25519.PrivateKey {
	t.Helper()
	_, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func setOf(t *testing.T, keys ...jwk.Key) jwk.Set {
	t.Helper()
	set := jwk.NewSet()
	for _, key := range keys {
		public, err := jwk.PublicKeyOf(key)
		if err == nil {
			err = set.AddKey(public)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	return set
}

func sign(t *testing.T, key jwk.Key) string {
	t.Helper()
	compact, err := jose.Sign([]byte(`{"a":1}`), "JWT", key)
	if err != nil {
		t.Fatal(err)
	}
	return compact
}

var encode = base64.RawURLEncoding.EncodeToString

// withHMAC returns a message with any header and payload, signed with HS256.
func withHMAC(header, payload string, secret []byte) string {
	signed := encode([]byte(header)) + "." + encode([]byte(payload))
	mac := hmac.New(sha256.New, secret)
	mac.Write([]byte(signed))
	return signed + "." + encode(mac.Sum(nil))
}

func verify(compact string, keys jwk.Set) (jwk.Key, error) {
	message, err := jose.Parse(compact)
	if err != nil {
		return nil, err
	}
	return message.Verify(keys)
}

func TestVerify_AllAlgorithms(t *testing.T) {
	forRSA, secret := newRSA(t, 2048), []byte(strings.Repeat("s", 64))
	raw := map[string]any{
		"RS256": forRSA, "RS384": forRSA, "RS512": forRSA, "PS256": forRSA, "PS384": forRSA, "PS512": forRSA,
		"ES256": newEC(t, elliptic.P256()), "ES384": newEC(t, elliptic.P384()), "ES512": newEC(t, elliptic.P521()),
		"EdDSA": newEd25519(t), "HS256": secret, "HS384": secret, "HS512": secret,
	}
	for _, algorithm := range jose.Algorithms() {
		key := newKey(t, raw[algorithm], "alg", algorithm, "kid", "k1", "use", "sig")
		compact := sign(t, key)
		message, err := jose.Parse(compact)
		if err != nil {
			t.Fatal(err)
		}
		if want := (jose.Header{Algorithm: algorithm, KeyID: "k1", Type: "JWT"}); message.Header != want || string(message.Payload) != `{"a":1}` {
			t.Errorf("%s: parsed as %+v, %q", algorithm, message.Header, message.Payload)
		}
		if used, err := message.Verify(setOf(t, key)); err != nil || used.KeyID() != "k1" {
			t.Errorf("%s: %v", algorithm, err)
		}
		if _, err := message.Verify(setOf(t, newKey(t, raw[algorithm], "kid", "k1"))); err != nil {
			t.Errorf("%s, with a key that names no algorithm: %v", algorithm, err)
		}
		cut := strings.LastIndex(compact, ".") + 1
		for name, changed := range map[string]string{
			"no signature":           compact[:cut],
			"signature of zeros":     compact[:cut] + strings.Repeat("A", len(compact)-cut),
			"truncated":              compact[:len(compact)-4],
			"extended":               compact + "AAAA",
			"signature of something": compact[:cut] + sign(t, newKey(t, newEd25519(t)))[:20],
			"another payload":        strings.Replace(compact, encode([]byte(`{"a":1}`)), encode([]byte(`{"a":2}`)), 1),
		} {
			if _, err := verify(changed, setOf(t, key)); err == nil {
				t.Errorf("%s, %s: verified", algorithm, name)
			}
		}
	}
}

func TestParse_Refused(t *testing.T) {
	secret := []byte(strings.Repeat("s", 32))
	keys := setOf(t, newKey(t, secret))
	good := withHMAC(`{"alg":"HS256"}`, `{}`, secret)
	if _, err := verify(good, keys); err != nil {
		t.Fatal(err)
	}
	parts := strings.Split(good, ".")
	header := func(text string) string { return withHMAC(text, `{}`, secret) }
	for name, test := range map[string]struct {
		compact string
		want    error
	}{
		"empty":                 {"", jose.ErrMalformed},
		"one part":              {parts[0], jose.ErrMalformed},
		"two parts":             {parts[0] + "." + parts[1], jose.ErrMalformed},
		"four parts":            {good + ".", jose.ErrMalformed},
		"five parts":            {good + ".e30.e30", jose.ErrMalformed},
		"too long":              {good + strings.Repeat("A", jose.MaxBytes), jose.ErrMalformed},
		"JSON serialization":    {`{"payload":"e30","protected":"` + parts[0] + `","signature":"` + parts[2] + `"}`, jose.ErrMalformed},
		"space before":          {" " + good, jose.ErrMalformed},
		"newline after":         {good + "\n", jose.ErrMalformed},
		"newline within":        {good[:len(good)-4] + "\r\n" + good[len(good)-4:], jose.ErrMalformed},
		"padding":               {parts[0] + "." + parts[1] + "." + parts[2] + "=", jose.ErrMalformed},
		"standard alphabet":     {strings.Replace(header(`{"alg":"HS256","x":"~~~~??"}`), "_", "/", 1), jose.ErrMalformed},
		"bits after the end":    {good[:len(good)-1] + string(good[len(good)-1]+1), jose.ErrMalformed},
		"header empty":          {"." + parts[1] + "." + parts[2], jose.ErrMalformed},
		"header no JSON":        {header(`alg`), jose.ErrMalformed},
		"header an array":       {header(`["alg","HS256"]`), jose.ErrMalformed},
		"header null":           {header(`null`), jose.ErrMalformed},
		"header twice":          {header(`{"alg":"HS256"}{"alg":"HS256"}`), jose.ErrMalformed},
		"header not UTF-8":      {header("{\"alg\":\"HS256\",\"x\":\"\xff\"}"), jose.ErrMalformed},
		"duplicate names":       {header(`{"alg":"none","alg":"HS256"}`), jose.ErrMalformed},
		"duplicate by escape":   {header(`{"alg":"none","\u0061lg":"HS256"}`), jose.ErrMalformed},
		"deep":                  {header(`{"alg":"HS256","x":[[[[1]]]]}`), jose.ErrMalformed},
		"crit":                  {header(`{"alg":"HS256","crit":["exp"],"exp":1}`), jose.ErrMalformed},
		"crit empty":            {header(`{"alg":"HS256","crit":[]}`), jose.ErrMalformed},
		"b64":                   {header(`{"alg":"HS256","b64":false}`), jose.ErrMalformed},
		"alg a number":          {header(`{"alg":256}`), jose.ErrMalformed},
		"alg null":              {header(`{"alg":null}`), jose.ErrMalformed},
		"kid a number":          {header(`{"alg":"HS256","kid":1}`), jose.ErrMalformed},
		"typ an array":          {header(`{"alg":"HS256","typ":["JWT"]}`), jose.ErrMalformed},
		"alg missing":           {header(`{}`), jose.ErrAlgorithm},
		"alg empty":             {header(`{"alg":""}`), jose.ErrAlgorithm},
		"none":                  {header(`{"alg":"none"}`), jose.ErrAlgorithm},
		"none, no signature":    {encode([]byte(`{"alg":"none"}`)) + ".e30.", jose.ErrAlgorithm},
		"None":                  {header(`{"alg":"None"}`), jose.ErrAlgorithm},
		"lower case":            {header(`{"alg":"hs256"}`), jose.ErrAlgorithm},
		"alg with a space":      {header(`{"alg":"HS256 "}`), jose.ErrAlgorithm},
		"ES256K":                {header(`{"alg":"ES256K"}`), jose.ErrAlgorithm},
		"key encryption":        {header(`{"alg":"dir","enc":"A256GCM"}`), jose.ErrAlgorithm},
		"unknown kid":           {header(`{"alg":"HS256","kid":"other"}`), jose.ErrUnknownKey},
		"long for the secret":   {header(`{"alg":"HS512"}`), jose.ErrUnknownKey},
		"other type of key":     {header(`{"alg":"RS256"}`), jose.ErrUnknownKey},
		"signed by another key": {withHMAC(`{"alg":"HS256"}`, `{}`, []byte(strings.Repeat("t", 32))), jose.ErrSignature},
	} {
		_, err := verify(test.compact, keys)
		if !errors.Is(err, test.want) {
			t.Errorf("%s: %v; want %v", name, err, test.want)
		}
		if err != nil && (strings.Contains(err.Error(), parts[2]) || test.compact != "" && strings.Contains(err.Error(), test.compact)) {
			t.Errorf("%s: the error contains the message: %v", name, err)
		}
	}
}

func TestVerify_KeysRefused(t *testing.T) {
	strong, private := newRSA(t, 2048), newEd25519(t)
	ed25519Key := newKey(t, private, "kid", "k")
	signed := sign(t, ed25519Key)
	var many []jwk.Key
	for range 5 {
		many = append(many, newKey(t, newEd25519(t)))
	}
	short, err := jwk.ParseKey([]byte(`{"kty":"OKP","crv":"Ed25519","kid":"k","x":"AAAA"}`))
	if err != nil {
		t.Fatal(err)
	}
	weak := []byte("weak secret")
	modulus := strong.N.Bytes()
	for name, test := range map[string]struct {
		compact string
		keys    []jwk.Key
		want    error
	}{
		"another key of that id":  {signed, []jwk.Key{newKey(t, newEd25519(t), "kid", "k")}, jose.ErrSignature},
		"key without an id":       {signed, []jwk.Key{newKey(t, private)}, jose.ErrUnknownKey},
		"no key":                  {signed, nil, jose.ErrUnknownKey},
		"id of another type":      {signed, []jwk.Key{newKey(t, strong, "kid", "k")}, jose.ErrAlgorithm},
		"for encryption":          {signed, []jwk.Key{newKey(t, private, "kid", "k", "use", "enc")}, jose.ErrAlgorithm},
		"only to sign":            {signed, []jwk.Key{newKey(t, private, "kid", "k", "key_ops", "sign")}, jose.ErrAlgorithm},
		"short public key":        {signed, []jwk.Key{short}, jose.ErrAlgorithm},
		"alg of the key is other": {sign(t, newKey(t, strong, "kid", "k")), []jwk.Key{newKey(t, strong, "kid", "k", "alg", "PS256")}, jose.ErrAlgorithm},
		"weak secret":             {withHMAC(`{"alg":"HS256","kid":"k"}`, `{}`, weak), []jwk.Key{newKey(t, weak, "kid", "k")}, jose.ErrAlgorithm},
		"public key as secret":    {withHMAC(`{"alg":"HS256","kid":"k"}`, `{}`, modulus), []jwk.Key{newKey(t, strong, "kid", "k")}, jose.ErrAlgorithm},
		"several, none named":     {sign(t, newKey(t, private)), []jwk.Key{ed25519Key, newKey(t, newEd25519(t), "kid", "l")}, jose.ErrUnknownKey},
		"too many without id":     {sign(t, many[0]), many, jose.ErrUnknownKey},
	} {
		if _, err := verify(test.compact, setOf(t, test.keys...)); !errors.Is(err, test.want) {
			t.Errorf("%s: %v; want %v", name, err, test.want)
		}
	}
	if _, err := verify(sign(t, many[3]), setOf(t, many[:4]...)); err != nil {
		t.Errorf("four keys without an id: %v", err)
	}
	if _, err := verify(sign(t, newKey(t, private)), setOf(t, ed25519Key, newKey(t, strong, "kid", "r"))); err != nil {
		t.Errorf("the only key that fits, and no id in the header: %v", err)
	}
}

func TestSign_Refused(t *testing.T) {
	private := newEd25519(t)
	for name, key := range map[string]jwk.Key{
		"public key":     newKey(t, private.Public()),
		"weak secret":    newKey(t, []byte("weak secret")),
		"for encryption": newKey(t, private, "use", "enc"),
		"only to verify": newKey(t, private, "key_ops", "verify"),
		"another alg":    newKey(t, private, "alg", "ES256"),
		"weak HS512":     newKey(t, []byte(strings.Repeat("s", 63)), "alg", "HS512"),
	} {
		if _, err := jose.Sign([]byte(`{}`), "", key); !errors.Is(err, jose.ErrKey) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := jose.Sign(make([]byte, jose.MaxBytes), "", newKey(t, private)); !errors.Is(err, jose.ErrMalformed) {
		t.Errorf("a long payload: %v", err)
	}
}

func TestMembers_Refused(t *testing.T) {
	for _, text := range []string{"", " ", "{", "{}}", "[]", `"{}"`, "{}{}", "{'a':1}", `{"a":}`, `{"a":1,}`, `{"a":{"b":1,"b":2}}`,
		`{"a":[[1]]}`, "{\"a\":\"\xc3\"}", `{"a":"\ud800"}`, `{"a":01}`, `{"a":NaN}`, "\ufeff{}", strings.Repeat("[", 1<<20), `{"\"`} {
		if members, err := jose.Members([]byte(text), 2); !errors.Is(err, jose.ErrMalformed) {
			t.Errorf("%.20q: %v, %v", text, members, err)
		}
	}
	members, err := jose.Members([]byte(" {\"a\":[1, 2],\"b\":\"}{\\\"[[\"}\n"), 2)
	if err != nil || len(members) != 2 || string(members["a"]) != "[1, 2]" || string(members["b"]) != `"}{\"[["` {
		t.Errorf("%s, %v", members, err)
	}
	if text, err := jose.String(members, "b"); err != nil || text != `}{"[[` {
		t.Errorf("%q, %v", text, err)
	}
	if _, err := jose.String(members, "a"); !errors.Is(err, jose.ErrMalformed) {
		t.Errorf("an array as a string: %v", err)
	}
}
