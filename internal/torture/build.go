package torture

import (
	"fmt"
	"os/exec"
	"path/filepath"
)

// serverPackage is the program that Run starts.
const serverPackage = "github.com/safe-go/safe/internal/torture/server"

// Build compiles the server into the directory and returns the program's name.
// race has it report data races; it is slower then.
func Build(dir string, race bool) (program string, err error) {
	program = filepath.Join(dir, "torture-server")
	args := []string{"build", "-o", program}
	if race {
		args = append(args, "-race")
	}
	out, err := exec.Command("go", append(args, serverPackage)...).CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("go build %s: %w\n%s", serverPackage, err, out)
	}
	return program, nil
}
