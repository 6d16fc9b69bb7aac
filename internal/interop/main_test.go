package interop_test

import (
	"fmt"
	"os"
	"testing"
	"time"

	"go.uber.org/goleak"
)

// testTimeout bounds every wait.
const testTimeout = 20 * time.Second

func TestMain(m *testing.M) {
	code := m.Run()
	err := stopSharedHost()
	if err == nil && code == 0 {
		err = goleak.Find()
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		code = max(code, 1)
	}
	os.Exit(code)
}
