package bolt

import (
	"os"
	"testing"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) {
	if path := os.Getenv(victimVariable); path != "" {
		appendUntilKilled(path)
		return
	}
	goleak.VerifyTestMain(m)
}
