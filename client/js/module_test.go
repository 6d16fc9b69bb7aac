package js_test

import (
	"os/exec"
	"testing"
)

// TestModule runs safe.test.js.
func TestModule(t *testing.T) {
	output, err := exec.Command(requireNode(t), "--test", "--test-timeout=20000", "--test-reporter=spec", "safe.test.js").CombinedOutput()
	if err != nil {
		t.Errorf("%v\n%s", err, output)
	}
}
