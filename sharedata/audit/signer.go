package audit

import (
	"fmt"
	"time"

	"github.com/lestrrat-go/jwx/v2/jwk"

	"github.com/safe-go/safe/internal/jose"
	"github.com/safe-go/safe/replay"
	"github.com/safe-go/safe/sharedata"
)

// Signer signs checkpoints with a key of the service. It is safe for concurrent use.
type Signer struct {
	private, public jwk.Key
}

// NewSigner returns a signer. The key is a private key of Ed25519 or P-256, of which
// the signer keeps a copy. Its id (kid) is in each checkpoint; where it has none, the id
// is its thumbprint (RFC 7638). Use the key for checkpoints alone, and keep it where
// those who can change the store cannot read it: they could sign what they wrote.
func NewSigner(key jwk.Key) (*Signer, error) {
	private, err := key.Clone()
	if err == nil && private.KeyID() == "" {
		err = jwk.AssignKeyID(private)
	}
	if err != nil {
		return nil, fmt.Errorf("audit: %w", err)
	}
	if !jose.IsFor(private, algorithms[:]...) {
		return nil, fmt.Errorf("audit: %w; use a private key of Ed25519 or P-256", jose.ErrKey)
	}
	public, err := private.PublicKey()
	if err != nil {
		return nil, fmt.Errorf("audit: %w", err)
	}
	public.Remove(jwk.KeyOpsKey) // those of the private key
	s := &Signer{private: private, public: public}
	if _, err := s.Sign("", replay.Cursor{}, sharedata.Hash{}, time.Time{}); err != nil {
		return nil, err // not a private key, or not for signatures
	}
	return s, nil
}

// PublicKeys returns the key with which the checkpoints are verified, as a set that can
// be published as JSON (RFC 7517 section 5). The caller may change it.
func (s *Signer) PublicKeys() (jwk.Set, error) {
	public, err := s.public.Clone()
	if err != nil {
		return nil, err
	}
	set := jwk.NewSet()
	return set, set.AddKey(public)
}

// Sign signs that the entry of the ShareData at the cursor has the hash, at a time. It
// fails for an id that is too long, and for a time outside of the years 0 to 9999.
func (s *Signer) Sign(id string, cursor replay.Cursor, hash sharedata.Hash, at time.Time) (Checkpoint, error) {
	c := Checkpoint{ShareDataID: id, Cursor: cursor, Hash: hash, Time: at.UTC().Round(0)}
	payload, err := c.payload()
	if err == nil {
		c.JWS, err = jose.Sign(payload, CheckpointType, s.private)
	}
	if err != nil {
		return Checkpoint{}, fmt.Errorf("audit: cannot sign a checkpoint: %w", err)
	}
	return c, nil
}
