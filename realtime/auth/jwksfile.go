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

func (f *keyFile) read(context.Context) (fetchedKeys, error) {
	info, err := os.Stat(f.path)
	if err == nil && !info.Mode().IsRegular() { // opening a pipe could block for ever
		err = fmt.Errorf("%s is not a regular file", f.path)
	}
	if err != nil {
		return fetchedKeys{}, err
	}
	file, err := os.Open(f.path)
	if err != nil {
		return fetchedKeys{}, err
	}
	defer file.Close()
	body, err := readBounded(file, f.options.MaxBytes)
	if err != nil {
		return fetchedKeys{}, err
	}
	keys, err := parseKeySet(body, true)
	if err != nil {
		err = fmt.Errorf("%s: %w", f.path, err)
	}
	return fetchedKeys{keys: keys}, err
}
