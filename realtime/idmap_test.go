package realtime

import (
	"maps"
	"math/rand/v2"
	"strconv"
	"testing"
)

func TestIDMap_LikeAMap(t *testing.T) {
	type value struct{ n int }
	var m idMap[value]
	model := make(map[string]*value)
	for n := range 10_000 {
		id := strconv.Itoa(rand.IntN(4))
		if rand.IntN(2) == 0 {
			m.set(id, &value{n})
			model[id] = m.get(id)
		} else {
			m.delete(id)
			delete(model, id)
		}
		got := make(map[*value]int)
		for v := range m.all() {
			got[v]++
		}
		for id := range 4 {
			if id := strconv.Itoa(id); m.get(id) != model[id] || model[id] != nil && got[model[id]] != 1 {
				t.Fatalf("%q is %v, want %v", id, m.get(id), model[id])
			}
		}
		if m.len() != len(model) || len(got) != len(model) {
			t.Fatalf("%d values, want %v", m.len(), maps.Collect(maps.All(model)))
		}
	}
}
