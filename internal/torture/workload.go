package torture

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"strings"

	"github.com/safe-go/safe/internal/checker"
)

// ids returns the ids of the ShareData of a run: of all kinds in turn.
func ids(n int) []string {
	all := make([]string, n)
	for i := range all {
		all[i] = fmt.Sprintf("%s-%d", []string{"counter", "document", "register"}[i%3], i)
	}
	return all
}

// kindOf returns the kind of a ShareData, which its id begins with.
func kindOf(id string) string {
	kind, _, _ := strings.Cut(id, "-")
	return kind
}

// models returns the models of the ShareData.
func models(ids []string) map[string]checker.Model {
	models := make(map[string]checker.Model)
	for _, id := range ids {
		models[id] = map[string]checker.Model{
			"counter": checker.Counter, "document": documentModel, "register": checker.Register,
		}[kindOf(id)]
	}
	return models
}

// asks is what the subscriptions of a client ask for.
type asks struct{ patches, conflate bool }

// asksOf returns what the n-th client of each kind asks for: half of them for patches,
// and a third for conflation.
func asksOf(n int) asks { return asks{n%2 == 0, n%3 == 0} }

// some returns a random part of the ids, at least one.
func some(rng *rand.Rand, ids []string) []string {
	var part []string
	for _, i := range rng.Perm(len(ids))[:1+rng.IntN(len(ids))] {
		part = append(part, ids[i])
	}
	return part
}

// randomProposal returns a random proposal.
func randomProposal(rng *rand.Rand, id string) (function string, data json.RawMessage) {
	switch n := rng.IntN(100); {
	case n == 0:
		return "no such function", json.RawMessage("1")
	case kindOf(id) == "document":
		return randomEdit(rng)
	case kindOf(id) == "counter" && n < 4:
		return "reset", json.RawMessage("null")
	case kindOf(id) == "counter":
		return "add", fmt.Appendf(nil, `{"by":%d}`, rng.IntN(12)-5)
	case n < 10:
		return "set", json.RawMessage("null")
	}
	return "set", fmt.Appendf(nil, `{"n":%d,"pad":%q}`, rng.IntN(1_000_000), strings.Repeat("x", rng.IntN(120)))
}

// randomState returns a random state for an update or a creation.
func randomState(rng *rand.Rand, id string) json.RawMessage {
	switch kindOf(id) {
	case "counter":
		return fmt.Appendf(nil, `{"value":%d}`, rng.IntN(200))
	case "document":
		return randomDocument(rng)
	}
	return fmt.Appendf(nil, `{"updated":%d}`, rng.IntN(1_000_000))
}
