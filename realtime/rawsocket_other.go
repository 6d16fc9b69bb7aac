//go:build !linux

package realtime

// writeAtOnce takes nothing: the caller waits for the network.
func (s *socket) writeAtOnce([][]byte, *writeBuffer) (int, error) { return 0, nil }

type atOnce struct{}

func (s *socket) readConn(p []byte) (int, error) { return s.Conn.Read(p) }

type reading struct{}
