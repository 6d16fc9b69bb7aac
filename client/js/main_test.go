package js_test

import (
	"os"
	"testing"
	"time"

	"go.uber.org/goleak"
)

// testTimeout bounds a test, which is one history on a busy machine.
const testTimeout = 2 * time.Minute

func TestMain(m *testing.M) {
	if path := os.Getenv(serveVariable); path != "" {
		serveProcess(path)
		return
	}
	goleak.VerifyTestMain(m)
}
