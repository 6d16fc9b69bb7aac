package jsonpatch

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"reflect"
	"slices"
	"strings"
	"testing"

	oracle "github.com/evanphx/json-patch/v5"
)

// generator makes random texts.
type generator struct{ *rand.Rand }

var (
	words   = []string{"a", "b", "c", "d", "~", "/", "", "é", "<", "\"", "\\", "longer name", "0", "-", "\u2028"}
	scalars = []string{"0", "1", "12", "-1.5e3", "true", "false", "null", `""`, `"a"`, `"\""`, `"\\"`, `"[{"`, `"text of some length"`}
)

func (g generator) value(depth int) any {
	switch n := g.IntN(10); {
	case depth > 0 && n < 3:
		object := make(map[string]any)
		for range g.IntN(8) {
			object[words[g.IntN(len(words))]] = g.value(depth - 1)
		}
		return object
	case depth > 0 && n < 6:
		array := make([]any, g.IntN(6))
		for i := range array {
			array[i] = g.value(depth - 1)
		}
		return array
	}
	return json.RawMessage(scalars[g.IntN(len(scalars))])
}

// change returns a value that differs in a few places.
func (g generator) change(value any) any {
	switch v := value.(type) {
	case map[string]any:
		changed := make(map[string]any)
		for _, name := range words {
			if inner, has := v[name]; has && g.IntN(15) > 0 {
				changed[name] = g.change(inner)
			} else if !has && g.IntN(30) == 0 {
				changed[name] = g.value(2)
			}
		}
		return changed
	case []any:
		if len(v) > 2 && g.IntN(6) == 0 {
			moved := append(slices.Clone(v[1:]), g.value(1))
			if g.IntN(2) == 0 {
				moved = append([]any{g.value(1)}, v[:len(v)-1]...)
			}
			return moved
		}
		var changed []any
		for _, inner := range v {
			if g.IntN(15) == 0 {
				changed = append(changed, g.value(2))
			}
			if g.IntN(15) > 0 {
				changed = append(changed, g.change(inner))
			}
		}
		return changed
	}
	if g.IntN(8) == 0 {
		return g.value(1)
	}
	return value
}

// write appends a text of the value: members in any order unless sorted, with white
// space and escapes unless canonical.
func (g generator) write(b *bytes.Buffer, value any, sorted, canonical bool) {
	space := func() {
		if !canonical && g.IntN(3) == 0 {
			b.WriteString(" \n"[:1+g.IntN(2)])
		}
	}
	list := func(opening, closing byte, count int, write func(int)) {
		b.WriteByte(opening)
		for i := range count {
			if i > 0 {
				b.WriteByte(',')
			}
			space()
			write(i)
			space()
		}
		space()
		b.WriteByte(closing)
	}
	switch v := value.(type) {
	case map[string]any:
		var names []string
		for _, name := range words {
			if _, has := v[name]; has {
				names = append(names, name)
			}
		}
		if !sorted {
			g.Shuffle(len(names), func(i, j int) { names[i], names[j] = names[j], names[i] })
		}
		list('{', '}', len(names), func(i int) {
			name, _ := json.Marshal(names[i])
			if !canonical && names[i] == "a" {
				name = []byte(`"\u0061"`)
			}
			b.Write(name)
			space()
			b.WriteByte(':')
			space()
			g.write(b, v[names[i]], sorted, canonical)
		})
	case []any:
		list('[', ']', len(v), func(i int) { g.write(b, v[i], sorted, canonical) })
	case json.RawMessage:
		b.Write(v)
	}
}

func decodeNumbers(t *testing.T, text []byte) (value any) {
	decoder := json.NewDecoder(bytes.NewReader(text))
	decoder.UseNumber()
	if err := decoder.Decode(&value); err != nil {
		t.Fatalf("%s: %v", text, err)
	}
	return value
}

// Patches between random texts, also those that are larger than the text: Apply makes
// the same of them in one pass as operation by operation, and the same value as
// another implementation.
func TestDiff_RandomTexts(t *testing.T) {
	for seed := range uint64(5000) {
		g := generator{rand.New(rand.NewPCG(seed, 0))}
		var x, y bytes.Buffer
		value := []any{g.value(5), json.RawMessage(`"` + strings.Repeat("x", g.IntN(2)*1000) + `"`)}
		sorted, canonical := g.IntN(2) == 0, g.IntN(2) == 0
		g.write(&x, value, sorted, canonical)
		g.write(&y, g.change(value), sorted, canonical)
		d := newDiffer(x.Bytes(), y.Bytes())
		if g.IntN(2) == 0 {
			d.limit = 1 << 20
		}
		if d.document(); d.malformed {
			t.Fatalf("seed %d: %s or %s is taken for malformed", seed, &x, &y)
		}
		same := reflect.DeepEqual(decodeNumbers(t, x.Bytes()), decodeNumbers(t, y.Bytes()))
		if same != (len(d.changes) == 0) {
			t.Fatalf("seed %d: %s and %s: %d changes", seed, &x, &y, len(d.changes))
		}
		if same || d.size > d.limit {
			continue
		}
		patch := d.render()
		if len(patch) != d.size+1 {
			t.Fatalf("seed %d: %d bytes were counted for %s", seed, d.size, patch)
		}
		operations, err := parse(patch)
		if err != nil {
			t.Fatalf("seed %d: %v", seed, err)
		}
		c := cursor{in: x.Bytes()}
		if err := c.run(operations); err != nil || c.passes > 0 && len(operations[0].path) > 0 {
			t.Fatalf("seed %d: %s with %s: %v, %d further passes", seed, &x, patch, err, c.passes)
		}
		result := c.finish()
		if !reflect.DeepEqual(decodeNumbers(t, result), decodeNumbers(t, y.Bytes())) {
			t.Fatalf("seed %d: %s with %s gives %s", seed, &x, patch, result)
		}
		if canonical && !bytes.Equal(result, Canonical(result)) {
			t.Fatalf("seed %d: %s is not canonical", seed, result)
		}
		stepwise := x.Bytes()
		for _, o := range operations {
			single := cursor{in: stepwise}
			if err := single.run([]operation{o}); err != nil {
				t.Fatalf("seed %d: %v", seed, err)
			}
			stepwise = single.finish()
		}
		if !bytes.Equal(stepwise, result) {
			t.Fatalf("seed %d: %s with %s gives %s, and %s in steps", seed, &x, patch, result, stepwise)
		}
		// The oracle takes an empty reference token for the object itself.
		empty := func(o operation) bool { return bytes.Contains([]byte(string(o.path)+"/"), []byte("//")) }
		if !slices.ContainsFunc(operations, empty) && len(operations[0].path) > 0 {
			checkOracle(t, fmt.Sprint("seed ", seed), x.Bytes(), patch, result)
		}
	}
}

func checkOracle(t *testing.T, name string, state, patch, result []byte) {
	t.Helper()
	decoded, err := oracle.DecodePatch(patch)
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	expected, err := decoded.Apply(state)
	if err != nil || !reflect.DeepEqual(decodeNumbers(t, result), decodeNumbers(t, expected)) {
		t.Fatalf("%s: %s with %s gives %s, the oracle %s, %v", name, state, patch, result, expected, err)
	}
}
