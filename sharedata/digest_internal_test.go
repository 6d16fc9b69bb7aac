package sharedata

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"testing"
)

// The digest of a state is its hash, whatever states came before it.
func TestDigest_Next(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	sizes := []int{0, 1, digestStride - 1, digestStride, digestStride + 1, 2 * digestStride, 5*digestStride + 7}
	var before []byte
	at := digestOf(nil)
	for n := range 2000 {
		state := make([]byte, sizes[rng.IntN(len(sizes))])
		copy(state, before)
		if len(state) > 0 && n%4 > 0 {
			state[rng.IntN(len(state))]++
		}
		next := at.next(before, state)
		if next.hash != HashState(state) {
			t.Fatalf("the digest of %d bytes after %d, in step %d, is not their hash", len(state), len(before), n)
		}
		if want := len(state) / digestStride; len(next.checkpoints) != want {
			t.Fatalf("%d bytes have %d checkpoints, want %d", len(state), len(next.checkpoints), want)
		}
		before, at = state, next
	}
}

// A digest that another one came from stays what it was: several decisions may start
// at one position.
func TestDigest_Immutable(t *testing.T) {
	before := bytes.Repeat([]byte("0123456789abcdef"), 4*digestStride/16)
	at := digestOf(before)
	for i := range 4 {
		state := bytes.Clone(before)
		state[i*digestStride]++
		at.next(before, state)
	}
	for i, c := range at.checkpoints {
		if want, got := HashState(before[:(i+1)*digestStride]), fmt.Sprintf("%x", c.Sum(nil)); got != want.String() {
			t.Errorf("checkpoint %d is %s, want %s", i, got, want)
		}
	}
}
