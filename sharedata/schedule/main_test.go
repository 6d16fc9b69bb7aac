package schedule

import (
	"os"
	"testing"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) {
	if address := os.Getenv(redisVariable); address != "" {
		runProcess(address)
		return
	}
	goleak.VerifyTestMain(m)
}
