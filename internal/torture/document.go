package torture

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"strings"
)

// document is the state of the kind "document" of the servers: 4 to 16 KiB, of which each
// function changes a little.
type document struct {
	Note  string `json:"note"`
	Items []item `json:"items"`
}

type item struct {
	Name  string `json:"name"`
	Count int    `json:"count"`
}

// itemInput is what a function proposes to do with an item.
type itemInput struct {
	Index int    `json:"index"`
	Name  string `json:"name,omitempty"`
}

// Bounds of the number of items.
const minItems, maxItems = 60, 200

// documentModel is the checker.Model of a document.
func documentModel(state json.RawMessage, function string, data json.RawMessage) (json.RawMessage, bool, error) {
	var d document
	if err := json.Unmarshal(state, &d); err != nil {
		return nil, false, err
	}
	if function == "note" {
		if string(data) == "null" {
			return nil, false, nil
		}
		if err := json.Unmarshal(data, &d.Note); err != nil {
			return nil, false, err
		}
	} else {
		var in itemInput
		if err := json.Unmarshal(data, &in); err != nil {
			return nil, false, err
		}
		if !d.apply(function, in) {
			return nil, false, nil
		}
	}
	next, err := json.Marshal(d)
	return next, true, err
}

// apply changes the items. It returns false where the function rejects that.
func (d *document) apply(function string, in itemInput) bool {
	n := len(d.Items)
	if in.Index >= n || function == "insert" && n >= maxItems || function == "remove" && n <= minItems {
		return false
	}
	switch function {
	case "rename":
		d.Items[in.Index].Name = in.Name
	case "count":
		d.Items[in.Index].Count++
	case "insert":
		d.Items = append(d.Items[:in.Index:in.Index], append([]item{{Name: in.Name}}, d.Items[in.Index:]...)...)
	case "remove":
		d.Items = append(d.Items[:in.Index], d.Items[in.Index+1:]...)
	}
	return true
}

// randomDocument returns a random document.
func randomDocument(rng *rand.Rand) json.RawMessage {
	d := document{Note: fmt.Sprint("note ", rng.IntN(1000))}
	for range minItems + rng.IntN(60) {
		d.Items = append(d.Items, item{randomName(rng), rng.IntN(100)})
	}
	state, err := json.Marshal(d)
	if err != nil {
		panic(err) // texts and numbers can be encoded
	}
	return state
}

func randomName(rng *rand.Rand) string {
	return fmt.Sprint("item ", rng.IntN(1_000_000), strings.Repeat(".", 20+rng.IntN(40)))
}

// randomEdit returns a random proposal to a document. Some are rejected.
func randomEdit(rng *rand.Rand) (function string, data json.RawMessage) {
	index := rng.IntN(minItems + 4)
	switch n := rng.IntN(100); {
	case n < 2:
		return "note", json.RawMessage("null")
	case n < 20:
		return "note", fmt.Appendf(nil, "%q", randomName(rng))
	case n < 45:
		return "rename", fmt.Appendf(nil, `{"index":%d,"name":%q}`, index, randomName(rng))
	case n < 75:
		return "count", fmt.Appendf(nil, `{"index":%d}`, index)
	case n < 90:
		return "insert", fmt.Appendf(nil, `{"index":%d,"name":%q}`, index, randomName(rng))
	}
	return "remove", fmt.Appendf(nil, `{"index":%d}`, index)
}
