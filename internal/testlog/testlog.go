// Package testlog has a log for tests.
package testlog

import (
	"strings"
	"sync"
)

// Buffer is a log that a test may read while it is written. The zero value is empty. Both
// methods may be called from any number of goroutines.
type Buffer struct {
	mu   sync.Mutex
	text strings.Builder
}

// Write implements io.Writer. It does not fail.
func (b *Buffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.Write(p)
}

// String returns what was written so far.
func (b *Buffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.String()
}
