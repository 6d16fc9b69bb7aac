package main

import (
	"bytes"
	"encoding/binary"
	"math/bits"
)

// sipHash returns the SipHash-2-4 of a text under a key of two words
// (https://131002.net/siphash, by Jean-Philippe Aumasson and Daniel J. Bernstein).
func sipHash(k0, k1 uint64, text []byte) uint64 {
	v := [4]uint64{k0 ^ 0x736f6d6570736575, k1 ^ 0x646f72616e646f6d, k0 ^ 0x6c7967656e657261, k1 ^ 0x7465646279746573}
	words := append(bytes.Clone(text), make([]byte, 8-len(text)%8)...)
	words[len(words)-1] = byte(len(text))
	for ; len(words) > 0; words = words[8:] {
		word := binary.LittleEndian.Uint64(words)
		v[3] ^= word
		sipRounds(&v, 2)
		v[0] ^= word
	}
	v[2] ^= 0xff
	sipRounds(&v, 4)
	return v[0] ^ v[1] ^ v[2] ^ v[3]
}

func sipRounds(v *[4]uint64, n int) {
	for range n {
		v[0] += v[1]
		v[2] += v[3]
		v[1] = bits.RotateLeft64(v[1], 13) ^ v[0]
		v[3] = bits.RotateLeft64(v[3], 16) ^ v[2]
		v[0] = bits.RotateLeft64(v[0], 32)
		v[2] += v[1]
		v[0] += v[3]
		v[1] = bits.RotateLeft64(v[1], 17) ^ v[2]
		v[3] = bits.RotateLeft64(v[3], 21) ^ v[0]
		v[2] = bits.RotateLeft64(v[2], 32)
	}
}
