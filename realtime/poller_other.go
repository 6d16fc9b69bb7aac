//go:build !linux

package realtime

// poller does nothing: a goroutine waits for each connection.
type poller struct{}

type polled struct{}

func (p *poller) park(*session, *socket) bool { return false }
func (p *poller) unpark(*socket)              {}
func (p *poller) close()                      {}
