package torture

import "syscall"

// orphan has a server killed when this program ends without stopping it.
func orphan() *syscall.SysProcAttr { return &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL} }
