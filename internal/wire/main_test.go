package wire

import (
	"flag"
	"testing"

	"go.uber.org/goleak"
)

var update = flag.Bool("update", false, "write the golden files from what the code does now")

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }
