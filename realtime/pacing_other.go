//go:build !linux

package realtime

import "net"

// stopPacing does nothing: it is not known how, or whether it is of use.
func stopPacing(net.Listener) {}
