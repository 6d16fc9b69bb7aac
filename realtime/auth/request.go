package auth

import (
	"net/http"
	"net/url"
	"strings"
)

// queryParameter is where a browser puts a token.
const queryParameter = "token"

// token returns the token of a request. Two tokens in one place are refused, because
// somebody else may check the other one, such as a proxy.
func (a *Authenticator) token(r *http.Request) (string, error) {
	switch headers := r.Header.Values("Authorization"); {
	case len(headers) > 1:
		return "", invalid("the request has %d headers Authorization; send one", len(headers))
	case len(headers) == 1:
		scheme, token, _ := strings.Cut(headers[0], " ")
		if strings.EqualFold(scheme, "Bearer") { // RFC 9110 section 11.1; others are for proxies
			return nonEmptyToken("the header Authorization", strings.Trim(token, " "))
		}
	}
	if !a.options.DisableQueryToken {
		if tokens := r.URL.Query()[queryParameter]; len(tokens) > 0 {
			return singleToken("query parameters token", "the query parameter token", tokens)
		}
	}
	if a.options.Cookie != "" {
		var tokens []string
		for _, cookie := range r.CookiesNamed(a.options.Cookie) {
			tokens = append(tokens, cookie.Value)
		}
		if len(tokens) > 0 {
			return singleToken("cookies for the token", "the cookie for the token", tokens)
		}
	}
	return "", ErrNoToken
}

func singleToken(places, place string, tokens []string) (string, error) {
	if len(tokens) > 1 {
		return "", invalid("the request has %d %s; send one", len(tokens), places)
	}
	return nonEmptyToken(place, tokens[0])
}

func nonEmptyToken(place, token string) (string, error) {
	if token == "" {
		return "", invalid("%s is empty", place)
	}
	return token, nil
}

// RedactURL returns a URL for a log: with the value of every query parameter token
// replaced, and without a password. A parameter that net/url does not accept is replaced
// as a whole.
func RedactURL(u *url.URL) string {
	if u == nil {
		return ""
	}
	redacted := *u
	parameters := strings.Split(u.RawQuery, "&")
	for i, parameter := range parameters {
		raw, _, hasValue := strings.Cut(parameter, "=")
		name, err := url.QueryUnescape(raw)
		switch {
		case err != nil || strings.Contains(parameter, ";"):
			parameters[i] = "redacted"
		case name == queryParameter && hasValue:
			parameters[i] = raw + "=redacted"
		}
	}
	redacted.RawQuery = strings.Join(parameters, "&")
	return redacted.Redacted()
}
