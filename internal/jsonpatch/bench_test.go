package jsonpatch_test

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/safe-go/safe/internal/jsonpatch"
)

// object returns an object of members that have a number and a text each. The
// numbers of the members in changed are one higher.
func object(members int, changed ...int) []byte {
	var b bytes.Buffer
	b.WriteByte('{')
	for m := range members {
		if m > 0 {
			b.WriteByte(',')
		}
		n := 10 + m%80
		if slices.Contains(changed, m) {
			n++
		}
		fmt.Fprintf(&b, `"m%06d":{"n":%d,"text":"%s"}`, m, n, strings.Repeat("some text ", 9))
	}
	b.WriteByte('}')
	return b.Bytes()
}

// array is object with an array of the members.
func array(members int, changed ...int) []byte {
	text := object(members, changed...)
	var b bytes.Buffer
	b.WriteByte('[')
	for m := range members {
		if m > 0 {
			b.WriteByte(',')
		}
		value, _ := jsonpatch.Find(text, fmt.Sprintf("/m%06d", m))
		b.Write(value)
	}
	b.WriteByte(']')
	return b.Bytes()
}

// reversed returns an object with the members of another one in the opposite order.
func reversed(members int) []byte {
	text := object(members)
	b := []byte{'{'}
	for m := members - 1; m >= 0; m-- {
		name := fmt.Sprintf("m%06d", m)
		value, _ := jsonpatch.Find(text, "/"+name)
		b = append(b, `"`+name+`":`...)
		b = append(append(b, value...), ',')
	}
	b[len(b)-1] = '}'
	return b
}

func nested(levels int, inner string) []byte { // two levels each
	return []byte(strings.Repeat(`{"x":1,"a":[`, levels) + inner + strings.Repeat(`],"y":[2]}`, levels))
}

func BenchmarkApply(b *testing.B) {
	state := object(2000)
	for _, c := range []struct{ name, patch string }{
		{"first", `[{"op":"replace","path":"/m000000/n","value":11}]`},
		{"middle", `[{"op":"replace","path":"/m001000/n","value":11}]`},
		{"last", `[{"op":"replace","path":"/m001999/n","value":11}]`},
		{"add", `[{"op":"add","path":"/new","value":11}]`},
	} {
		b.Run(c.name, func(b *testing.B) {
			b.ReportAllocs()
			b.SetBytes(int64(len(state)))
			for b.Loop() {
				if _, err := jsonpatch.Apply(state, []byte(c.patch)); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkFind(b *testing.B) {
	state := object(2000)
	b.ReportAllocs()
	for b.Loop() {
		if _, found := jsonpatch.Find(state, "/m001000/n"); !found {
			b.Fatal()
		}
	}
}

func BenchmarkCanonical(b *testing.B) {
	state := object(2000)
	b.ReportAllocs()
	for b.Loop() {
		jsonpatch.Canonical(state)
	}
}

func BenchmarkDiff(b *testing.B) {
	without := func(text []byte, member string) []byte {
		value, _ := jsonpatch.Find(text, "/"+member)
		return bytes.Replace(text, []byte(`,"`+member+`":`+string(value)), nil, 1)
	}
	large := object(2000)
	for _, c := range []struct {
		name          string
		before, after []byte
	}{
		{"equal", large, bytes.Clone(large)},
		{"one number", large, object(2000, 1000)},
		{"ten numbers", large, object(2000, 100, 300, 500, 700, 900, 1100, 1300, 1500, 1700, 1900)},
		{"one number of an array", array(2000), array(2000, 1000)},
		{"wrapped", []byte(`{"d":` + string(large) + `}`), []byte(`{"d":` + string(object(2000, 1000)) + `}`)},
		{"remove", large, without(large, "m001000")},
		{"add", without(large, "m001000"), large},
		{"reversed", large, reversed(2000)},
		{"other", large, bytes.ReplaceAll(bytes.ReplaceAll(large, []byte("some"), []byte("else")), []byte(`"m`), []byte(`"k`))},
	} {
		b.Run(c.name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				jsonpatch.Diff(c.before, c.after)
			}
		})
	}
}
