package auth

import (
	"encoding/json"
	"errors"
	"fmt"

	"github.com/lestrrat-go/jwx/v2/jwa"
	"github.com/lestrrat-go/jwx/v2/jwk"

	"github.com/safe-go/safe/internal/jose"
)

const (
	maxKeys        = 100 // of one key set, because each is checked for every token
	maxKeySetDepth = 16
)

var errNoKeySet = errors.New(`not a key set; use {"keys":[…]} (RFC 7517 section 5)`)

// parseKeySet returns the keys of a document that can verify tokens. It ignores others, as
// RFC 7517 section 5 says, and secrets unless they are allowed.
func parseKeySet(body []byte, secrets bool) (jwk.Set, error) {
	members, err := jose.Members(body, maxKeySetDepth)
	if err != nil {
		return nil, errNoKeySet
	}
	var listed []json.RawMessage
	if raw := members["keys"]; raw.Kind() != '[' || json.Unmarshal(raw, &listed) != nil {
		return nil, errNoKeySet
	}
	if len(listed) > maxKeys {
		return nil, fmt.Errorf("the key set has %d keys; at most %d are accepted", len(listed), maxKeys)
	}
	set := jwk.NewSet()
	for _, raw := range listed {
		key, err := jwk.ParseKey(raw)
		if err != nil || key.KeyType() == jwa.OctetSeq && !secrets {
			continue
		}
		_ = addUsable(set, key) // a key that is not usable is ignored
	}
	return set, nil
}
