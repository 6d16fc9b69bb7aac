package jose

import "errors"

// Errors of this package; errors.Is finds them. Their texts never contain the message.
var (
	// ErrMalformed: the message is not a JWS in the compact serialization, or its
	// header or JSON is not as strict as this package requires.
	ErrMalformed = errors.New("malformed JWS")
	// ErrAlgorithm: the algorithm of the header is not allowed at all, or not with the
	// keys that the header names.
	ErrAlgorithm = errors.New("the algorithm of the JWS is not allowed")
	// ErrUnknownKey: the key set has no key for the message.
	ErrUnknownKey = errors.New("no key for the JWS")
	// ErrSignature: the signature does not belong to the message and the key.
	ErrSignature = errors.New("the signature of the JWS is wrong")
	// ErrKey: a key cannot sign: it is not private, too weak, or not for signatures.
	ErrKey = errors.New("the key cannot be used for signatures")
)
