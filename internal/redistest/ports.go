package redistest

import (
	"errors"
	"math/rand/v2"
	"net"
	"strconv"
)

// Ports are taken from below the range that systems give to outgoing
// connections. Otherwise a connection of anybody could take the port of a
// server that is down for a moment, and a client that dials it could even be
// connected to itself.
const (
	firstPort = 11_000
	lastPort  = 21_999
	// busOffset is how far above its port a server listens for the other
	// servers of its cluster.
	busOffset = 10_000
)

var errNoPort = errors.New("redistest: found no free port")

// freePort returns a port that is free at the moment, and whose cluster bus
// port is free too.
func freePort() (int, error) {
	for range 1000 {
		port := firstPort + rand.IntN(lastPort-firstPort+1)
		if free(port) && free(port+busOffset) {
			return port, nil
		}
	}
	return 0, errNoPort
}

func free(port int) bool {
	listener, err := net.Listen("tcp", address(port))
	if err != nil {
		return false
	}
	return listener.Close() == nil
}

func address(port int) string { return net.JoinHostPort("127.0.0.1", strconv.Itoa(port)) }
