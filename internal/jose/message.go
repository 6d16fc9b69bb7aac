package jose

import (
	"encoding/base64"
	"fmt"
	"strings"
)

// MaxBytes is the size in bytes of the longest message that Parse accepts.
const MaxBytes = 16 << 10

// maxHeaderDepth is how deep the JSON of a header may nest. Headers are flat, but a
// member that is ignored, such as jwk, may be an object.
const maxHeaderDepth = 4

// Header is what the protected header of a message says (RFC 7515 section 4.1). Only
// the Algorithm is always there; the other fields are empty where the header does not
// have them. Nothing of a header is to be trusted before Verify.
type Header struct {
	// Algorithm is the member alg, one that this package allows.
	Algorithm string
	// KeyID is the member kid.
	KeyID string
	// Type is the member typ, as it is written.
	Type string
	// ContentType is the member cty. It says that the payload is a message again
	// (RFC 7519 section 5.2), or something else than what is signed usually.
	ContentType string
}

// Message is a JWS that was parsed, and is not verified yet. It does not change.
type Message struct {
	Header  Header
	Payload []byte

	signed    string // what the signature is over (RFC 7515 section 5.1)
	signature []byte
}

// Parse reads a JWS in the compact serialization. It accepts exactly what Sign and
// other conforming signers write: three parts of base64url without padding, white
// space or other characters in between; a header that is a strict JSON object
// (Members) with an algorithm that this package knows. It needs no key.
// Errors are ErrMalformed and ErrAlgorithm.
func Parse(compact string) (*Message, error) {
	if len(compact) > MaxBytes {
		return nil, fmt.Errorf("%w: it has %d bytes; at most %d are accepted", ErrMalformed, len(compact), MaxBytes)
	}
	parts := strings.SplitN(compact, ".", 4)
	if len(parts) != 3 {
		return nil, fmt.Errorf("%w: it does not consist of three parts with a period between them", ErrMalformed)
	}
	var decoded [3][]byte
	for i, part := range parts {
		var err error
		if decoded[i], err = decode(part); err != nil {
			return nil, err
		}
	}
	header, err := parseHeader(decoded[0])
	if err != nil {
		return nil, err
	}
	return &Message{
		Header: header, Payload: decoded[1], signature: decoded[2],
		signed: compact[:len(parts[0])+1+len(parts[1])],
	}, nil
}

// decode rejects non-zero trailing bits and line breaks, which encoding/base64 skips.
// Otherwise one signature would be valid for several strings.
func decode(part string) ([]byte, error) {
	raw, err := base64.RawURLEncoding.Strict().DecodeString(part)
	if err != nil || strings.ContainsAny(part, "\r\n") {
		return nil, fmt.Errorf("%w: a part of it is not base64url without padding", ErrMalformed)
	}
	return raw, nil
}

func parseHeader(raw []byte) (Header, error) {
	members, err := Members(raw, maxHeaderDepth)
	if err != nil {
		return Header{}, fmt.Errorf("in the header: %w", err)
	}
	for _, name := range []string{"crit", "b64"} { // RFC 7515 section 4.1.11, RFC 7797
		if _, there := members[name]; there {
			return Header{}, fmt.Errorf("%w: its header has the member %q, and no extension is understood", ErrMalformed, name)
		}
	}
	var h Header
	for name, field := range map[string]*string{"alg": &h.Algorithm, "kid": &h.KeyID, "typ": &h.Type, "cty": &h.ContentType} {
		if *field, err = String(members, name); err != nil {
			return Header{}, fmt.Errorf("in the header: %w", err)
		}
	}
	if !allowed(h.Algorithm) {
		return Header{}, fmt.Errorf("%w: %.20q; allowed are %s", ErrAlgorithm, h.Algorithm, strings.Join(Algorithms(), ", "))
	}
	return h, nil
}
