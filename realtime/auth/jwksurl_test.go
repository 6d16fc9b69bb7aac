package auth_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/safe-go/safe/realtime/auth"
)

func TestJWKS_Responses(t *testing.T) {
	key, signed := listedKey("1")
	secret, other := `{"kty":"oct","kid":"s","k":"c3Nzc3Nzc3Nzc3Nzc3Nzc3Nzc3Nzc3Nzc3Nzc3Nzc3M"}`, `{"kty":"new","kid":"n"}`
	bySecret := token(`{"alg":"HS256","kid":"s"}`, claims("exp", ""), "HS256", []byte(strings.Repeat("s", 32)))
	mux := http.NewServeMux()
	server := httptest.NewServer(mux)
	defer server.Close()
	body := func(text string) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, text) }
	}
	redirect := func(to string) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, to, http.StatusFound) }
	}
	mux.HandleFunc("/again", redirect("/target"))
	mux.HandleFunc("/target", body(keySet(key)))
	for name, test := range map[string]struct {
		handler http.HandlerFunc
		token   string
		want    error
		reason  string
	}{
		"good":               {body(keySet(key)), signed, nil, ""},
		"other members":      {body(`{"x":{"y":1},"keys":[` + key + `]}`), signed, nil, ""},
		"unknown types":      {body(keySet(other, `{}`, `{"kty":"EC"}`, `{"kty":"OKP","crv":"Ed25519","x":"AA"}`, `7`, `null`, key)), signed, nil, ""},
		"two redirects":      {redirect("/again"), signed, nil, ""},
		"secret":             {body(keySet(secret)), bySecret, auth.ErrInvalidToken, `none has the id "s"`},
		"no keys":            {body(keySet()), signed, auth.ErrInvalidToken, `none has the id "1"`},
		"redirect to http":   {redirect("http://id.example/jwks.json"), signed, auth.ErrKeysUnavailable, "not protected by TLS"},
		"redirect to a file": {redirect("file:///etc/passwd"), signed, auth.ErrKeysUnavailable, "not protected by TLS"},
		"redirect for ever":  {redirect("/redirect-for-ever"), signed, auth.ErrKeysUnavailable, "more than 3 redirects"},
		"too large":          {body(keySet(key) + strings.Repeat(" ", 4096)), signed, auth.ErrKeysUnavailable, "more than 4096 bytes"},
		"not JSON":           {body("<html>"), signed, auth.ErrKeysUnavailable, "not a key set"},
		"not UTF-8":          {body("{\"keys\":[" + key + "],\"x\":\"\xff\"}"), signed, auth.ErrKeysUnavailable, "not a key set"},
		"one key":            {body(key), signed, auth.ErrKeysUnavailable, "not a key set"},
		"keys an object":     {body(`{"keys":{}}`), signed, auth.ErrKeysUnavailable, "not a key set"},
		"keys null":          {body(`{"keys":null}`), signed, auth.ErrKeysUnavailable, "not a key set"},
		"keys missing":       {body(`{}`), signed, auth.ErrKeysUnavailable, "not a key set"},
		"duplicate keys":     {body(`{"keys":[],"keys":[` + key + `]}`), signed, auth.ErrKeysUnavailable, "not a key set"},
		"deep":               {body(`{"keys":[` + strings.Repeat("[", 1000) + strings.Repeat("]", 1000) + `]}`), signed, auth.ErrKeysUnavailable, "not a key set"},
		"101 keys":           {body(keySet(strings.Split(strings.Repeat("{},", 100)+"{}", ",")...)), signed, auth.ErrKeysUnavailable, "has 101 keys"},
		"empty":              {body(""), signed, auth.ErrKeysUnavailable, "not a key set"},
		"truncated": {func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", "1000")
			fmt.Fprint(w, keySet(key))
		}, signed, auth.ErrKeysUnavailable, "EOF"},
		"status 404": {http.NotFound, signed, auth.ErrKeysUnavailable, "status 404"},
		"status 204": {func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(204) }, signed, auth.ErrKeysUnavailable, "status 204"},
	} {
		path := "/" + strings.ReplaceAll(name, " ", "-")
		mux.HandleFunc(path, test.handler)
		var log bytes.Buffer
		jwks := must(auth.NewJWKS(strings.Replace(server.URL, "://", "://user:password@", 1)+path+"?key=hidden", &auth.JWKSOptions{
			MaxBytes: 4096, Logger: slog.New(slog.NewTextHandler(&log, nil)),
		}))
		_, err := authenticatorFor(t, jwks).AuthenticateToken(context.Background(), test.token)
		if !errors.Is(err, test.want) || err != nil && !strings.Contains(err.Error(), test.reason) {
			t.Errorf("%s: %v; want %v, %q", name, err, test.want, test.reason)
		}
		if errors.Is(err, auth.ErrKeysUnavailable) != strings.Contains(log.String(), "could not be read") {
			t.Errorf("%s: logged %q", name, &log)
		}
		if text := fmt.Sprint(err, &log); strings.Contains(text, "hidden") || strings.Contains(text, "password") {
			t.Errorf("%s: the credentials of the URL are in %q", name, text)
		}
		jwks.Close()
	}
}

// TestJWKS_FloodOverSockets has a real server count the requests that forged tokens cause.
func TestJWKS_FloodOverSockets(t *testing.T) {
	key, good := listedKey("1")
	var requests atomic.Int32
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		requests.Add(1)
		fmt.Fprint(w, keySet(key))
	}))
	defer server.Close()
	jwks := must(auth.NewJWKS(server.URL, &auth.JWKSOptions{MinInterval: time.Hour}))
	defer jwks.Close()
	authenticator := authenticatorFor(t, jwks)
	var running sync.WaitGroup
	for i := range 300 {
		running.Go(func() {
			_, forged := listedKey(fmt.Sprint("unknown ", i))
			if _, err := authenticator.Authenticate(inHeader(forged)); !errors.Is(err, auth.ErrInvalidToken) {
				t.Error(err)
			}
			if _, err := authenticator.Authenticate(inHeader(good)); err != nil {
				t.Error(err)
			}
		})
	}
	running.Wait()
	if n := requests.Load(); n != 1 {
		t.Errorf("%d requests", n)
	}
}

// The checks of a client come after those of this package, and do not replace them.
func TestJWKS_ClientChecksRedirects(t *testing.T) {
	key, signed := listedKey("1")
	target := "/keys"
	mux := http.NewServeMux()
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, target, http.StatusFound) })
	mux.HandleFunc("/keys", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, keySet(key)) })
	server := httptest.NewServer(mux)
	defer server.Close()
	for _, test := range []struct {
		target       string
		client, want error
	}{
		{target: "/keys"},
		{target: "/keys", client: errors.New("no"), want: auth.ErrKeysUnavailable},
		{target: "http://id.example/", want: auth.ErrKeysUnavailable},
	} {
		target = test.target
		client := server.Client()
		client.CheckRedirect = func(*http.Request, []*http.Request) error { return test.client }
		jwks := must(auth.NewJWKS(server.URL, &auth.JWKSOptions{Client: client}))
		_, err := authenticatorFor(t, jwks).AuthenticateToken(context.Background(), signed)
		if !errors.Is(err, test.want) || test.want != nil && test.client == nil && !strings.Contains(err.Error(), "not protected by TLS") {
			t.Errorf("%s: %v", test.target, err)
		}
		jwks.Close()
	}
}

func TestJWKS_Unreachable(t *testing.T) {
	server := httptest.NewServer(nil)
	server.Close()
	jwks := must(auth.NewJWKS(server.URL+"/jwks?key=hidden", nil))
	defer jwks.Close()
	_, signed := listedKey("1")
	_, err := authenticatorFor(t, jwks).AuthenticateToken(context.Background(), signed)
	if !errors.Is(err, auth.ErrKeysUnavailable) || strings.Contains(err.Error(), "hidden") {
		t.Error(err)
	}
}

func TestNewJWKS_Invalid(t *testing.T) {
	for _, rawURL := range []string{"http://id.example/jwks.json", "http://localhost.example/", "http://127.0.0.1.example/", "ftp://id.example/", "https://", "https://%zz/", "://"} {
		if _, err := auth.NewJWKS(rawURL, nil); !errors.Is(err, auth.ErrInvalidOption) {
			t.Errorf("%s: %v", rawURL, err)
		}
	}
	for _, rawURL := range []string{"http://localhost:1/", "http://127.0.0.2/", "http://[::1]/"} {
		if _, err := auth.NewJWKS(rawURL, nil); err != nil {
			t.Errorf("%s: %v", rawURL, err)
		}
	}
	if _, err := auth.NewJWKS("http://id.example/", &auth.JWKSOptions{AllowHTTP: true}); err != nil {
		t.Error(err)
	}
	for _, options := range []auth.JWKSOptions{{MinInterval: -1}, {MaxInterval: -2}, {MaxStale: -2}, {Timeout: -1}, {MaxBytes: -1}, {MinInterval: 2, MaxInterval: 1}} {
		if _, err := auth.NewJWKS("https://id.example/", &options); !errors.Is(err, auth.ErrInvalidOption) {
			t.Errorf("%+v: %v", options, err)
		}
	}
}

func TestJWKS_File(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		path := filepath.Join(t.TempDir(), "jwks.json")
		jwks := must(auth.NewJWKS(path, nil))
		defer jwks.Close()
		authenticator := authenticatorFor(t, jwks)
		key1, by1 := listedKey("1")
		key2, by2 := listedKey("2")
		secret := `{"kty":"oct","kid":"s","k":"c3Nzc3Nzc3Nzc3Nzc3Nzc3Nzc3Nzc3Nzc3Nzc3Nzc3M"}`
		bySecret := token(`{"alg":"HS256","kid":"s"}`, claims("exp", ""), "HS256", []byte(strings.Repeat("s", 32)))
		write := func(text string) {
			if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		expect := func(moment, token string, want error) {
			t.Helper()
			time.Sleep(time.Minute)
			_, _ = authenticator.AuthenticateToken(context.Background(), token) // begins to read
			synctest.Wait()
			if _, err := authenticator.AuthenticateToken(context.Background(), token); !errors.Is(err, want) {
				t.Errorf("%s: %v; want %v", moment, err, want)
			}
		}
		expect("missing", by1, auth.ErrKeysUnavailable)
		write(keySet(key1, secret))
		expect("first", by1, nil)
		expect("secret", bySecret, nil)
		write(keySet(key2))
		expect("new key", by2, nil)
		expect("old key", by1, auth.ErrInvalidToken)
		write("{")
		expect("malformed", by2, nil)
		if err := errors.Join(os.Remove(path), os.Mkdir(path, 0o700)); err != nil {
			t.Fatal(err)
		}
		expect("a folder", by2, nil)
		time.Sleep(24 * time.Hour)
		expect("too long", by2, auth.ErrKeysUnavailable)
	})
}
