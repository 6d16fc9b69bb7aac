package jsonpatch

import (
	"fmt"
	"strings"
	"testing"
)

// shapes are pairs of texts whose size grows with n, and for which it would be easy to
// take quadratic time.
var shapes = []struct {
	name string
	make func(n int) (before, after string)
}{
	{"deep", func(n int) (string, string) {
		return nest(`{"x":1,"a":[`, n, "1", `],"y":2}`), nest(`{"x":1,"a":[`, n, "2", `],"y":2}`)
	}},
	{"deep, reordered", func(n int) (string, string) {
		return nest(`{"x":1,"a":`, n, "1", `}`), nest(`{"a":`, n, "2", `,"x":1}`)
	}},
	{"deep, changed after", func(n int) (string, string) {
		return nest(`{"a":`, n, "1", `,"x":1}`), nest(`{"a":`, n, "1", `,"x":2}`)
	}},
	{"deep, added", func(n int) (string, string) { return nest(`{"a":`, n, "1", `}`), nest(`{"a":`, n, "1", `,"x":1}`) }},
	{"deep, added to long", func(n int) (string, string) {
		open := `{"text":"` + strings.Repeat("x", 1000) + `","a":`
		n = min(n, 1000)
		return nest(open, n, "1", `}`), nest(open, n, "1", `,"x":1}`)
	}},
	{"deep, added before", func(n int) (string, string) { return nest(`{"a":`, n, "1", `}`), nest(`{"x":1,"a":`, n, "1", `}`) }},
	{"deep, removed", func(n int) (string, string) { return nest(`{"x":1,"a":`, n, "1", `}`), nest(`{"a":`, n, "1", `}`) }},
	{"deep arrays", func(n int) (string, string) { return nest(`[0,[1],`, n, "1", `]`), nest(`[0,`, n, "2", `,3]`) }},
	{"deep arrays, first", func(n int) (string, string) { return nest(`[[0,1],`, n, "1", `]`), nest(`[[0],`, n, "1", `]`) }},
	{"deep arrays, last", func(n int) (string, string) { return nest(`[0,`, n, "1", `,5]`), nest(`[1,`, n, "1", `]`) }},
	{"deep, equal first", func(n int) (string, string) {
		return nest(`["0123456789",`, n, "1", `]`), nest(`["0123456789",`, n, "2", `]`)
	}},
	{"deep, equal last", func(n int) (string, string) {
		return nest(`[`, n, "1", `,"0123456789"]`), nest(`[`, n, "2", `,"0123456789"]`)
	}},
	{"deep, windows", func(n int) (string, string) {
		return nest(`[[0],[1],`, n, "1", `,[2]]`), nest(`[[1],`, n, "1", `,[2],[3]]`)
	}},
	{"window", func(n int) (string, string) {
		x := members(n, 1, 0)
		x = strings.NewReplacer("{\"member", "[{\"member", ",\"member", "},{\"member").Replace(x[:len(x)-1]) + "}]"
		return x, "[" + x[strings.Index(x, "},{")+2:len(x)-1] + ",[1]]"
	}},
	{"unequal depth", func(n int) (string, string) { return nest(`[`, n, "1", `]`), nest(`[`, n/2, "1", `]`) }},
	{"reversed", func(n int) (string, string) { return members(n, 1, 0), members(n, -1, 0) }},
	{"reversed, changed", func(n int) (string, string) { return members(n, 1, 0), members(n, -1, 1) }},
	{"every member", func(n int) (string, string) { return members(n, 1, 0), members(n, 1, 1) }},
	{"every second member", func(n int) (string, string) { return members(n, 1, 0), members(n, 2, 0) }},
	{"many added", func(n int) (string, string) { return members(n, 2, 0), members(n, 1, 0) }},
	{"numbers, inserted", func(n int) (string, string) {
		return "[" + strings.Repeat("1,", n) + "1]", "[" + strings.Repeat("1,", n/2) + strings.Repeat("2,", n/30) + strings.Repeat("1,", n/2) + "1]"
	}},
	{"numbers, removed", func(n int) (string, string) {
		return "[" + strings.Repeat("1,", n/2) + strings.Repeat("2,", n/30) + strings.Repeat("1,", n/2) + "1]", "[" + strings.Repeat("1,", n) + "1]"
	}},
	{"backslashes", func(n int) (string, string) {
		return `["` + strings.Repeat(`\\`, n) + `\"",1]`, `["` + strings.Repeat(`\\`, n) + `\"",2]`
	}},
	{"quotes", func(n int) (string, string) {
		return `["` + strings.Repeat(`\"`, n) + `",1]`, `["` + strings.Repeat(`\"`, n) + `",2]`
	}},
	{"long names", func(n int) (string, string) {
		return `{"` + strings.Repeat("x", n) + `1":1,"` + strings.Repeat("x", n) + `2":2}`, `{"` + strings.Repeat("x", n) + `2":2,"` + strings.Repeat("x", n) + `1":3}`
	}},
}

func nest(open string, n int, inner, closing string) string {
	return strings.Repeat(open, n/4) + inner + strings.Repeat(closing, n/4)
}

// members returns an object with every member, or every second one, in ascending or
// descending order.
func members(n, step, change int) string {
	var list []string
	for m := 0; m < n/8; m += max(step, -step) {
		member := fmt.Sprintf(`"member %06d":{"number":%d,"text":"a text that does not change, of some length"}`, m, 10+m%50+change)
		list = append(list, member)
	}
	if step < 0 {
		for k := range len(list) / 2 {
			list[k], list[len(list)-1-k] = list[len(list)-1-k], list[k]
		}
	}
	return "{" + strings.Join(list, ",") + "}"
}

// Diff and Apply compare and scan each byte a few times at most, however the texts
// are made, and write a patch no larger than the text.
func TestLinear_BytesLookedAt(t *testing.T) {
	const most = 8
	for _, shape := range shapes {
		for _, n := range []int{100, 1000, 39000} {
			x, y := shape.make(n)
			size := len(x) + len(y)
			d := newDiffer([]byte(x), []byte(y))
			d.document()
			if d.malformed || d.work > most*size {
				t.Errorf("%s, %d: Diff looks at %d bytes of %d; malformed: %t", shape.name, n, d.work, size, d.malformed)
			}
			if memory := len(d.tokens) + len(d.path) + len(d.changes) + len(d.index[before].values) + len(d.index[after].values); memory > size {
				t.Errorf("%s, %d: Diff keeps %d tokens, operations and offsets for %d bytes", shape.name, n, memory, size)
			}
			if d.size > d.limit || len(d.changes) == 0 {
				continue
			}
			patch := d.render()
			operations, err := parse(patch)
			if err != nil {
				t.Errorf("%s, %d: %v", shape.name, n, err)
				continue
			}
			c := cursor{in: []byte(x)}
			if err := c.run(operations); err != nil {
				t.Errorf("%s, %d: %v", shape.name, n, err)
			}
			if c.passes > 0 || c.work > most*(len(x)+len(patch)) {
				t.Errorf("%s, %d: Apply looks at %d bytes of %d in %d further passes", shape.name, n, c.work, len(x)+len(patch), c.passes)
			}
		}
	}
}

// The time for eight times the size is about eight times as much in every shape.
func BenchmarkLinear(b *testing.B) {
	for _, shape := range shapes {
		for _, n := range []int{4000, 32000} {
			x, y := shape.make(n)
			before, after := []byte(x), []byte(y)
			b.Run(fmt.Sprintf("%s/%d", shape.name, n), func(b *testing.B) {
				b.ReportAllocs()
				b.SetBytes(int64(len(x) + len(y)))
				for b.Loop() {
					Diff(before, after)
				}
			})
		}
	}
}
