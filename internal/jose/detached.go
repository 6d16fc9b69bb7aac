package jose

import (
	"encoding/base64"
	"fmt"
	"strings"

	"github.com/lestrrat-go/jwx/v2/jwk"
)

// SignDetached is Sign for a payload that the receiver knows: the part of the message
// between the periods is empty (RFC 7515 appendix F). The payload may be of any length.
func SignDetached(payload []byte, typ string, key jwk.Key) (string, error) {
	compact, err := sign(payload, typ, key)
	if err != nil {
		return "", err
	}
	header, rest, _ := strings.Cut(compact, ".")
	_, signature, _ := strings.Cut(rest, ".")
	return checkSize(header + ".." + signature)
}

// WithPayload returns a detached message with the payload that it is to be verified
// with. It fails with ErrMalformed where the message has a payload of its own.
func (m *Message) WithPayload(payload []byte) (*Message, error) {
	if len(m.Payload) > 0 {
		return nil, fmt.Errorf("%w: it has a payload, which must be detached", ErrMalformed)
	}
	with := *m
	with.Payload = payload
	with.signed = m.signed + base64.RawURLEncoding.EncodeToString(payload)
	return &with, nil
}
