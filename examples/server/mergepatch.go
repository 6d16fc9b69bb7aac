package main

import (
	"bytes"
	"encoding/json"
)

// mergePatch applies a JSON Merge Patch (RFC 7396) to a JSON text. Numbers keep
// their digits.
func mergePatch(target, patch json.RawMessage) (json.RawMessage, error) {
	var t, p any
	for text, value := range map[*json.RawMessage]*any{&target: &t, &patch: &p} {
		decoder := json.NewDecoder(bytes.NewReader(*text))
		decoder.UseNumber()
		if err := decoder.Decode(value); err != nil {
			return nil, err
		}
	}
	var merged bytes.Buffer
	encoder := json.NewEncoder(&merged)
	encoder.SetEscapeHTML(false)
	err := encoder.Encode(merge(t, p))
	return bytes.TrimSpace(merged.Bytes()), err
}

// merge is the function MergePatch of RFC 7396 section 2. It may change target.
func merge(target, patch any) any {
	changes, ok := patch.(map[string]any)
	if !ok {
		return patch
	}
	merged, ok := target.(map[string]any)
	if !ok {
		merged = make(map[string]any)
	}
	for name, change := range changes {
		if change == nil {
			delete(merged, name)
		} else {
			merged[name] = merge(merged[name], change)
		}
	}
	return merged
}

// isObject reports whether a valid JSON text is an object.
func isObject(text json.RawMessage) bool {
	return bytes.HasPrefix(bytes.TrimLeft(text, " \t\r\n"), []byte("{"))
}
