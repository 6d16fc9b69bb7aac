package child

import "syscall"

// Attributes are those of a command that is killed when this program ends without
// stopping it. Only Linux can do that.
func Attributes() *syscall.SysProcAttr { return &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL} }
