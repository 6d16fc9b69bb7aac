//go:build !linux

package realtime

import (
	"net"
	"syscall"
)

// rawConn returns nil: system calls are not used.
func rawConn(net.Conn) syscall.RawConn { return nil }

// writeAtOnce takes nothing: the caller waits for the network.
func (s *socket) writeAtOnce([][]byte, *writeBuffer) (int, error) { return 0, nil }

type atOnce struct{}

// awaitRaw is not possible.
func (t *webSocket) awaitRaw() (ok bool, err error) { return false, nil }

type filling struct{ isFilling bool }

func (m *messageReader) readNow(p []byte) (int, error) { return m.socket.Read(p) }
