package sharedata

import (
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"hash"
)

// digest is the hash of a state. That of a large state has checkpoints, so that the hash
// of the state after it costs only what comes after the first change: SHA-256 reads from
// front to back, and can go on from where it has been. It is immutable.
type digest struct {
	hash Hash
	// checkpoints are copies of the computation after each digestStride bytes.
	checkpoints []hash.Cloner
}

// digestStride is the number of bytes between two checkpoints; each has about 130.
const digestStride = 16 << 10

// digestOf returns the digest of a state; the zero digest for nil.
func digestOf(state json.RawMessage) digest { return digest{}.next(nil, state) }

// next returns the digest of a state that follows the one of d, which is before.
func (d digest) next(before, state json.RawMessage) digest {
	if len(state) < digestStride {
		return digest{hash: HashState(state)}
	}
	unchanged, at := 0, 0
	for unchanged < len(d.checkpoints) && at+digestStride <= len(state) &&
		bytes.Equal(before[at:at+digestStride], state[at:at+digestStride]) {
		unchanged, at = unchanged+1, at+digestStride
	}
	next := digest{checkpoints: append(make([]hash.Cloner, 0, len(state)/digestStride), d.checkpoints[:unchanged]...)}
	var computation hash.Cloner
	var err error
	if unchanged > 0 {
		computation, err = d.checkpoints[unchanged-1].Clone()
	} else {
		computation = sha256.New().(hash.Cloner)
	}
	for ; err == nil && at+digestStride <= len(state); at += digestStride {
		computation.Write(state[at : at+digestStride])
		var checkpoint hash.Cloner
		checkpoint, err = computation.Clone()
		next.checkpoints = append(next.checkpoints, checkpoint)
	}
	if err != nil { // an implementation of SHA-256 that cannot be copied (hash.Cloner)
		return digest{hash: HashState(state)}
	}
	computation.Write(state[at:])
	computation.Sum(next.hash[:0])
	return next
}
