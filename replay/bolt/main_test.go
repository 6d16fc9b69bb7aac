package bolt

import (
	"os"
	"testing"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) {
	if path := os.Getenv(childVariable); path != "" {
		appendUntilKilled(path)
		return
	}
	goleak.VerifyTestMain(m)
}
