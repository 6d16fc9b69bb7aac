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
	// ErrRefused: the server answers, but does not do what it is asked because
	// of how it is set up or because it has no room. The error says what to
	// change.
	ErrRefused = errors.New("the Redis server refuses")
)

// named says in an error of a server which history is damaged.
func named(id string, err error) error {
	if errors.Is(err, ErrDamaged) {
		return fmt.Errorf("%w (%.60q)", err, id)
	}
	return err
}

func damaged(id, reason string) error {
	return fmt.Errorf("redis: %.60q: %w: %s", id, ErrDamaged, reason)
}

// verdict is what the failure of a command means.
type verdict int

const (
	verdictOther verdict = iota
	// verdictSilent: the server was not reached or did not answer.
	verdictSilent
	// verdictBusy: the server, or the client, cannot do it at the moment.
	verdictBusy
	verdictRefused
	verdictDamaged
	verdictClosed
)

// advice says for an error that a server answers with, by the code in it, what
// it means and what to do.
type advice struct {
	code    string
	verdict verdict
	text    string
}

const notAllowed = "the user may not do this; allow it what the documentation of the package lists"

var advices = []advice{
	{"LOADING", verdictSilent, "it is loading its data"},
	{"READONLY", verdictBusy, "it is a replica; if it stays so, give the client the address of the master, or of the Sentinels"},
	{"MASTERDOWN", verdictBusy, "it is a replica whose master is down"},
	{"CLUSTERDOWN", verdictBusy, "its cluster does not serve the slot; look at CLUSTER INFO"},
	{"TRYAGAIN", verdictBusy, "the slot is being moved to another server"},
	{"MOVED", verdictBusy, "the slot is on another server; a server of a cluster needs goredis.NewClusterClient"},
	{"ASK", verdictBusy, "the slot is being moved to another server"},
	{"NOREPLICAS", verdictBusy, "it has fewer replicas than its min-replicas-to-write demands"},
	{"BUSY", verdictBusy, "it is busy with a script"},
	{"max number of clients", verdictBusy, "it has too many connections; raise its maxclients or lower PoolSize"},
	{"OOM", verdictRefused, "it has no memory left; raise its maxmemory, or bound what the store keeps with Options"},
	{"MISCONF", verdictRefused, "it cannot write to its disk; make room and look at its log"},
	{"NOPERM", verdictRefused, notAllowed},
	{"The user executing the script can't", verdictRefused, notAllowed},
	{"NOAUTH", verdictRefused, "it wants a user or a password; give them to the client"},
	{"WRONGPASS", verdictRefused, "the user or the password is wrong"},
	{"WRONGTYPE", verdictDamaged, "one of its keys holds something else"},
	{"equal or smaller than the target stream top item", verdictDamaged, "its stream is ahead of its head"},
}

// judge says what the failure of a command means and what to tell the user.
func judge(err error) (verdict, string) {
	var answered goredis.Error
	var timeout net.Error
	switch {
	case errors.Is(err, goredis.ErrClosed):
		return verdictClosed, "the client under the store was closed"
	case errors.Is(err, goredis.ErrPoolTimeout), errors.Is(err, goredis.ErrPoolExhausted):
		return verdictBusy, "all connections of the client are in use; raise its PoolSize"
	case errors.As(err, &answered):
		return answer(answered.Error())
	case errors.Is(err, context.DeadlineExceeded), errors.As(err, &timeout) && timeout.Timeout():
		return verdictSilent, "it does not answer"
	}
	return verdictSilent, "it cannot be reached"
}

// answer looks for the code of an error that a server answered with. It need
// not stand first: a script's errors are wrapped by some versions.
func answer(text string) (verdict, string) {
	for _, a := range advices {
		if i := strings.Index(text, a.code); i == 0 || i > 0 && !isLetter(text[i-1]) {
			return a.verdict, a.text
		}
	}
	return verdictOther, ""
}

func isLetter(c byte) bool { return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' }

// isCut reports whether a connection that had been there broke, so that another
// one may do.
func isCut(err error) bool {
	var dial *net.OpError
	if errors.As(err, &dial) && dial.Op == "dial" {
		return false
	}
	for _, cut := range []error{io.EOF, io.ErrUnexpectedEOF, net.ErrClosed, syscall.ECONNRESET, syscall.EPIPE, syscall.ECONNABORTED} {
		if errors.Is(err, cut) {
			return true
		}
	}
	return isAnswer(err, "READONLY") // the client has closed the connection
}

// isAnswer reports whether the server answered with an error of that code.
func isAnswer(err error, code string) bool {
	var answered goredis.Error
	return errors.As(err, &answered) && strings.Contains(answered.Error(), code)
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
