package redis

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"syscall"

	goredis "github.com/redis/go-redis/v9"

	"github.com/safe-go/safe/replay"
)

// Errors of a Store besides those of package replay, to be tested with
// errors.Is.
var (
	// ErrDamaged: what the server keeps of a history does not fit together, as
	// after one of its keys was evicted, deleted or overwritten. Nothing is read
	// from it or appended to it. Restore its keys from a backup, or delete all
	// of them, which forgets the history.
	ErrDamaged = errors.New("history is damaged")
	// ErrRefused: the server replies, but refuses because of its version or
	// configuration, because the user lacks a permission, or because it has no room.
	// The error says what to change.
	ErrRefused = errors.New("the Redis server refuses")
)

// named adds to an error of a server which history is damaged.
func named(id string, err error) error {
	if errors.Is(err, ErrDamaged) {
		return fmt.Errorf("%w (%.60q)", err, id)
	}
	return err
}

func damaged(id, reason string) error {
	return fmt.Errorf("redis: %.60q: %w: %s", id, ErrDamaged, reason)
}

// kind is what the failure of a command means.
type kind int

const (
	kindOther kind = iota
	// kindSilent: the server was not reached or did not reply.
	kindSilent
	// kindBusy: the server, or the client, cannot do it at the moment.
	kindBusy
	kindRefused
	kindDamaged
	kindClosed
)

// advice says for an error that a server replies with, by the code in it, what it
// means and what to do.
type advice struct {
	code string
	kind kind
	text string
}

const notAllowed = "the user may not do this; allow it what the documentation of the package lists"

var advices = []advice{
	{"LOADING", kindSilent, "it is loading its data"},
	{"READONLY", kindBusy, "it is a replica; if it stays so, give the client the address of the master, or of the Sentinels"},
	{"MASTERDOWN", kindBusy, "it is a replica whose master is down"},
	{"CLUSTERDOWN", kindBusy, "its cluster does not serve the slot; see CLUSTER INFO"},
	{"TRYAGAIN", kindBusy, "the slot is being moved to another server"},
	{"MOVED", kindBusy, "the slot is on another server; a server of a cluster needs goredis.NewClusterClient"},
	{"ASK", kindBusy, "the slot is being moved to another server"},
	{"NOREPLICAS", kindBusy, "it has fewer replicas than its min-replicas-to-write demands"},
	{"BUSY", kindBusy, "it is busy with a script"},
	{"max number of clients", kindBusy, "it has too many connections; raise its maxclients or lower PoolSize"},
	{"OOM", kindRefused, "it has no memory left; raise its maxmemory, or bound what the store keeps with Options"},
	{"MISCONF", kindRefused, "it cannot write to its disk; make room and see its log"},
	{"NOPERM", kindRefused, notAllowed},
	{"The user executing the script can't", kindRefused, notAllowed},
	{"NOAUTH", kindRefused, "it wants a user or a password; give them to the client"},
	{"WRONGPASS", kindRefused, "the user or the password is wrong"},
	{"WRONGTYPE", kindDamaged, "one of its keys holds something else"},
	{"equal or smaller than the target stream top item", kindDamaged, "its stream is ahead of its head"},
}

// classify says what the failure of a command means and what the user can do.
func classify(err error) (kind, string) {
	var replied goredis.Error
	var timeout net.Error
	switch {
	case err == nil:
		return kindOther, ""
	case errors.Is(err, goredis.ErrClosed):
		return kindClosed, "the client under the store was closed"
	case errors.Is(err, goredis.ErrPoolTimeout), errors.Is(err, goredis.ErrPoolExhausted):
		return kindBusy, "all connections of the client are in use; raise its PoolSize"
	case errors.As(err, &replied):
		return classifyReply(replied.Error())
	case errors.Is(err, context.DeadlineExceeded), errors.As(err, &timeout) && timeout.Timeout():
		return kindSilent, "it does not reply"
	}
	return kindSilent, "it cannot be reached"
}

// classifyReply searches for the code of an error that a server replied with. It
// need not stand first: some versions wrap the errors of scripts.
func classifyReply(text string) (kind, string) {
	for _, a := range advices {
		if i := strings.Index(text, a.code); i == 0 || i > 0 && !isLetter(text[i-1]) {
			return a.kind, a.text
		}
	}
	return kindOther, ""
}

func isLetter(c byte) bool { return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' }

// isBroken reports whether an open connection broke, so that another one may work.
func isBroken(err error) bool {
	var dial *net.OpError
	if errors.As(err, &dial) && dial.Op == "dial" {
		return false
	}
	for _, broken := range []error{io.EOF, io.ErrUnexpectedEOF, net.ErrClosed, syscall.ECONNRESET, syscall.EPIPE, syscall.ECONNABORTED} {
		if errors.Is(err, broken) {
			return true
		}
	}
	return isReply(err, "READONLY") // the client has closed the connection
}

// isReply reports whether the server replied with an error of that code.
func isReply(err error, code string) bool {
	var replied goredis.Error
	return errors.As(err, &replied) && strings.Contains(replied.Error(), code)
}

// refused is an error about a server that wraps ErrRefused.
func refused(server, reason string, err error) error {
	return fmt.Errorf("redis: %w: %s: %s: %w", ErrRefused, server, reason, err)
}

func closed(reason string) error { return fmt.Errorf("redis: %w: %s", replay.ErrClosed, reason) }

// unavailable is an error about a server that wraps replay.ErrUnavailable.
func unavailable(server, reason string, err error) error {
	return fmt.Errorf("redis: %w: %s: %s: %w", replay.ErrUnavailable, server, reason, err)
}
