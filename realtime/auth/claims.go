package auth

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"math"
	"slices"
	"strconv"
	"time"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/safe-go/safe/internal/jose"
	"github.com/safe-go/safe/sharedata"
)

const (
	// maxClaimsDepth is how deep the claims of a token may nest.
	maxClaimsDepth = 32
	// maxStringBytes is the length of the longest subject, audience and token id. OpenID
	// Connect Core 1.0 section 2 has the same limit for subjects.
	maxStringBytes = 255
	// maxDate is the last second of the year 9999. It is far below what a number of
	// milliseconds since 1970 would be, which is a common mistake.
	maxDate = 253402300799
)

// claims are the members of a token's payload.
type claims map[string]jsontext.Value

func parseClaims(payload []byte) (claims, error) {
	members, err := jose.Members(payload, maxClaimsDepth)
	if err != nil {
		return nil, invalid("in the claims: %w", err)
	}
	return members, nil
}

// requiredString returns a claim that must be a string of 1 to maxStringBytes bytes.
func (c claims) requiredString(name string) (string, error) {
	value, err := c.optionalString(name)
	if err == nil && value == "" {
		err = invalid("it has no claim %s", name)
	}
	return value, err
}

// optionalString is requiredString for a claim that may be missing or empty.
func (c claims) optionalString(name string) (string, error) {
	value, err := jose.String(c, name)
	if err != nil {
		return "", invalid("in the claims: %w", err)
	}
	return value, checkLength(name, value)
}

func checkLength(name, value string) error {
	if len(value) > maxStringBytes {
		return invalid("its claim %s has %d bytes; at most %d are accepted", name, len(value), maxStringBytes)
	}
	return nil
}

// audience returns the claim aud: one string or a list (RFC 7519 section 4.1.3).
func (c claims) audience() ([]string, error) {
	var audience []string
	switch value := c["aud"]; value.Kind() {
	case '"':
		one, err := c.requiredString("aud")
		return []string{one}, err
	case '[':
		if list, ok := stringList(value); ok {
			audience = list
			break
		}
		fallthrough
	default:
		return nil, invalid("its claim aud is not a string or a list of strings")
	}
	for _, value := range audience {
		if err := checkLength("aud", value); err != nil {
			return nil, err
		}
	}
	return audience, nil
}

// stringList returns the elements of a JSON array of strings.
func stringList(value jsontext.Value) ([]string, bool) {
	var list []*string // a pointer distinguishes null from an empty string
	if value.Kind() != '[' || json.Unmarshal(value, &list) != nil {
		return nil, false
	}
	result := make([]string, len(list))
	for i, element := range list {
		if element == nil {
			return nil, false
		}
		result[i] = *element
	}
	return result, true
}

// date returns a claim that is a number of seconds since 1970, with or without a
// fraction (RFC 7519 section 2, NumericDate); zero if there is none.
func (c claims) date(name string) (time.Time, error) {
	value, there := c[name]
	if !there {
		return time.Time{}, nil
	}
	// Of all JSON values only a number is parsed, and one that is too large is not.
	seconds, err := strconv.ParseFloat(string(value), 64)
	if err != nil || seconds < 0 || seconds > maxDate {
		return time.Time{}, invalid("its claim %s is not a number of seconds since 1970 up to the year 9999", name)
	}
	whole, fraction := math.Modf(seconds)
	return time.Unix(int64(whole), int64(fraction*1e9)), nil
}

// recorded returns the claims that are recorded as one object, or nil if there are none.
func (c claims) recorded(names []string) json.RawMessage {
	var raw []byte
	for _, name := range slices.Sorted(maps.Keys(c)) {
		switch name {
		case "iss", "sub", "aud", "jti", "exp", "nbf", "iat":
			continue
		}
		if names != nil && !slices.Contains(names, name) {
			continue
		}
		raw = append(raw, ',')
		raw, _ = jsontext.AppendQuote(raw, name) // names are UTF-8
		value := bytes.Clone(c[name])
		if compact := jsontext.Value(value); compact.Compact() == nil {
			value = compact
		}
		raw = append(append(raw, ':'), value...)
	}
	if raw == nil {
		return nil
	}
	raw[0] = '{'
	return append(raw, '}')
}

// Claim returns one of the caller's Claims. It returns false if the caller is nil or has
// none of that name, and an error if the claim cannot be unmarshalled as T or the
// Claims are not an object.
func Claim[T any](caller *sharedata.Caller, name string) (value T, found bool, err error) {
	if caller == nil || caller.Claims == nil {
		return value, false, nil
	}
	members, err := jose.Members(caller.Claims, sharedata.MaxDepth)
	if err != nil {
		return value, false, fmt.Errorf("the claims of the caller are not an object: %w", err)
	}
	raw, found := members[name]
	if !found {
		return value, false, nil
	}
	if err := json.Unmarshal(raw, &value); err != nil {
		return value, true, fmt.Errorf("the claim %q: %w", name, err)
	}
	return value, true, nil
}
