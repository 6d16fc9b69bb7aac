package redistest

import "syscall"

// orphan has the server killed when this program ends without stopping it.
func orphan() *syscall.SysProcAttr { return &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL} }
