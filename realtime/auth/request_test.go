package auth_test

import (
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"github.com/safe-go/safe/realtime/auth"
)

func TestAuthenticate_TokenSources(t *testing.T) {
	f := newFixture(t, &auth.Options{Cookie: "session"})
	anna, ben := f.withClaims(), f.withClaims("sub", `"ben"`)
	for name, test := range map[string]struct {
		query   string
		headers []string // name: value
		want    string   // the subject
		err     error
	}{
		"header":                   {"", []string{"Authorization: Bearer " + anna}, "anna", nil},
		"scheme in lower case":     {"", []string{"Authorization: bearer " + anna}, "anna", nil},
		"several spaces":           {"", []string{"Authorization: Bearer   " + anna}, "anna", nil},
		"query":                    {"?token=" + anna, nil, "anna", nil},
		"query with others":        {"?a=1&token=" + anna + "&b", nil, "anna", nil},
		"cookie":                   {"", []string{"Cookie: a=b; session=" + anna}, "anna", nil},
		"header before query":      {"?token=" + ben, []string{"Authorization: Bearer " + anna}, "anna", nil},
		"query before cookie":      {"?token=" + anna, []string{"Cookie: session=" + ben}, "anna", nil},
		"other scheme, and query":  {"?token=" + anna, []string{"Authorization: Basic YTpi"}, "anna", nil},
		"nothing":                  {"", nil, "", auth.ErrNoToken},
		"other scheme":             {"", []string{"Authorization: Basic " + anna}, "", auth.ErrNoToken},
		"no scheme":                {"", []string{"Authorization: " + anna}, "", auth.ErrNoToken},
		"other parameter":          {"?Token=" + anna + "&access_token=" + anna, nil, "", auth.ErrNoToken},
		"other cookie":             {"", []string{"Cookie: token=" + anna}, "", auth.ErrNoToken},
		"two headers":              {"", []string{"Authorization: Bearer " + anna, "Authorization: Bearer " + anna}, "", auth.ErrInvalidToken},
		"two schemes":              {"", []string{"Authorization: Basic YTpi", "Authorization: Bearer " + anna}, "", auth.ErrInvalidToken},
		"two parameters":           {"?token=" + anna + "&token=" + anna, nil, "", auth.ErrInvalidToken},
		"two cookies":              {"", []string{"Cookie: session=" + anna + "; session=" + ben}, "", auth.ErrInvalidToken},
		"two tokens in one header": {"", []string{"Authorization: Bearer " + anna + " " + anna}, "", auth.ErrInvalidToken},
		"empty header":             {"?token=" + anna, []string{"Authorization: Bearer "}, "", auth.ErrInvalidToken},
		"empty parameter":          {"?token=", []string{"Cookie: session=" + anna}, "", auth.ErrInvalidToken},
		"empty cookie":             {"", []string{"Cookie: session="}, "", auth.ErrInvalidToken},
		"bad header, good query":   {"?token=" + anna, []string{"Authorization: Bearer x"}, "", auth.ErrInvalidToken},
	} {
		r := httptest.NewRequest(http.MethodGet, "/realtime"+test.query, nil)
		for _, header := range test.headers {
			key, value, _ := strings.Cut(header, ": ")
			r.Header.Add(key, value)
		}
		caller, err := f.authenticator.Authenticate(r)
		if !errors.Is(err, test.err) || (caller != nil) != (test.err == nil) || caller != nil && caller.Subject != test.want {
			t.Errorf("%s: %+v, %v; want %q, %v", name, caller, err, test.want, test.err)
		}
		if strings.HasPrefix(name, "empty") && !strings.Contains(fmt.Sprint(err), "is empty") {
			t.Errorf("%s: %v", name, err)
		}
		if err != nil {
			checkNoToken(t, err, anna)
		}
	}
}

func TestAuthenticate_SourcesDisabled(t *testing.T) {
	f := newFixture(t, &auth.Options{DisableQueryToken: true})
	r := httptest.NewRequest(http.MethodGet, "/realtime?token="+f.withClaims(), nil)
	r.AddCookie(&http.Cookie{Name: "token", Value: f.withClaims()})
	if _, err := f.authenticator.Authenticate(r); !errors.Is(err, auth.ErrNoToken) {
		t.Errorf("%v", err)
	}
	if _, err := f.authenticator.Authenticate(inHeader(f.withClaims())); err != nil {
		t.Errorf("the header: %v", err)
	}
}

func TestRedactURL(t *testing.T) {
	for rawURL, want := range map[string]string{
		"/realtime":                           "/realtime",
		"/realtime?a=b":                       "/realtime?a=b",
		"/realtime?token=secret":              "/realtime?token=redacted",
		"/realtime?a=b&token=secret&c#d":      "/realtime?a=b&token=redacted&c#d",
		"/realtime?token=secret&token=secret": "/realtime?token=redacted&token=redacted",
		"/realtime?%74oken=secret":            "/realtime?%74oken=redacted",
		"/realtime?tok%zzen=secret":           "/realtime?redacted",
		"/realtime?a=b;token=secret":          "/realtime?redacted",
		"/realtime?token=a=secret":            "/realtime?token=redacted",
		"/realtime?token":                     "/realtime?token",
		"wss://user:secret@host/r?token=s":    "wss://user:xxxxx@host/r?token=redacted",
	} {
		if got := auth.RedactURL(must(url.Parse(rawURL))); got != want {
			t.Errorf("%s: %s; want %s", rawURL, got, want)
		}
	}
	if got := auth.RedactURL(nil); got != "" {
		t.Errorf("nil: %q", got)
	}
}
