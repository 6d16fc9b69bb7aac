package auth

import (
	"context"
	"fmt"
	"os"
)

// keyFile reads a key set from a file.
type keyFile struct {
	path    string
	options JWKSOptions
}

func (f *keyFile) read(context.Context) (document, error) {
	info, err := os.Stat(f.path)
	if err == nil && !info.Mode().IsRegular() { // opening a pipe could block for ever
		err = fmt.Errorf("%s is not a regular file", f.path)
	}
	if err != nil {
		return document{}, err
	}
	file, err := os.Open(f.path)
	if err != nil {
		return document{}, err
	}
	defer file.Close()
	body, err := readBounded(file, f.options.MaxBytes)
	if err != nil {
		return document{}, err
	}
	keys, err := parseKeySet(body, true)
	if err != nil {
		err = fmt.Errorf("%s: %w", f.path, err)
	}
	return document{keys: keys}, err
}
