package main

import (
	"bytes"
	"encoding/json"
	"maps"
	"slices"

	"github.com/safe-go/safe/sharedata"
)

// mergePatch returns the changes that a JSON Merge Patch (RFC 7396), which is an object,
// makes to a document. Of the document it reads only what it changes.
func mergePatch(document sharedata.Document, merge json.RawMessage) (changes sharedata.Patch, err error) {
	return changes, addMerge(&changes, document, "", merge)
}

// addMerge adds the changes to the value at the path. It is the function MergePatch of
// RFC 7396 section 2.
func addMerge(changes *sharedata.Patch, document sharedata.Document, path string, merge json.RawMessage) error {
	if value, found := document.Get(path); !found || !isObject(merge) || !isObject(value) {
		merged, err := withoutNulls(merge)
		changes.Add(path, merged)
		return err
	}
	var members map[string]json.RawMessage
	if err := json.Unmarshal(merge, &members); err != nil {
		return err
	}
	for _, name := range slices.Sorted(maps.Keys(members)) {
		member := path + sharedata.Path(name)
		if !isNull(members[name]) {
			if err := addMerge(changes, document, member, members[name]); err != nil {
				return err
			}
		} else if _, found := document.Get(member); found {
			changes.Remove(member)
		}
	}
	return nil
}

// withoutNulls returns what a merge makes of a value that is no object: itself without
// the members that are null.
func withoutNulls(merge json.RawMessage) (json.RawMessage, error) {
	if !isObject(merge) {
		return merge, nil
	}
	var members map[string]json.RawMessage
	if err := json.Unmarshal(merge, &members); err != nil {
		return nil, err
	}
	maps.DeleteFunc(members, func(_ string, value json.RawMessage) bool { return isNull(value) })
	for name, value := range members {
		merged, err := withoutNulls(value)
		if err != nil {
			return nil, err
		}
		members[name] = merged
	}
	return json.Marshal(members)
}

// isObject reports whether a valid JSON text is an object.
func isObject(text json.RawMessage) bool {
	return bytes.HasPrefix(bytes.TrimLeft(text, " \t\r\n"), []byte("{"))
}

// isNull reports whether a valid JSON text is null.
func isNull(text json.RawMessage) bool { return string(bytes.TrimSpace(text)) == "null" }
