package redistest

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strconv"
	"strings"
	"time"
)

var errEnded = errors.New("it has ended")

// await calls ready until it returns nil, and returns its last error when the
// context ends or the server does.
func await(ctx context.Context, ended <-chan struct{}, ready func() error) error {
	for {
		err := ready()
		if err == nil {
			return nil
		}
		select {
		case <-ended:
			return errEnded
		case <-ctx.Done():
			return fmt.Errorf("%w: %w", ctx.Err(), err)
		case <-time.After(poll):
		}
	}
}

// awaitLocked returns when the server that was started answers and has loaded
// its files. It does not take somebody else's server on its port for it.
func (p *Process) awaitLocked(ctx context.Context) error {
	pid := fmt.Sprint(p.running.process.Pid)
	return await(ctx, p.running.ended, func() error {
		info, err := p.info()
		if err != nil {
			return err
		}
		if got := field(info, "process_id"); got != pid {
			return fmt.Errorf("process %s answers instead of %s", got, pid)
		}
		if p.settings.sentinel == "" && field(info, "loading") != "0" || field(info, "async_loading") == "1" {
			return errors.New("it is loading its files")
		}
		return nil
	})
}

// info asks the server about itself, on a connection of its own: a client
// would wait for a while before it dials a server again that was not there.
func (p *Process) info() (text string, err error) {
	conn, err := net.DialTimeout("tcp", p.Addr(), time.Second)
	if err != nil {
		return "", err
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(5 * time.Second)); err != nil {
		return "", err
	}
	if _, err := io.WriteString(conn, "INFO\r\n"); err != nil {
		return "", err
	}
	reader := bufio.NewReader(conn)
	line, err := reader.ReadString('\n')
	if err != nil {
		return "", err
	}
	length, err := strconv.Atoi(strings.TrimSpace(strings.TrimPrefix(line, "$")))
	if err != nil || length < 0 || length > 1<<20 {
		return "", fmt.Errorf("it answers %.200q", line)
	}
	body := make([]byte, length)
	_, err = io.ReadFull(reader, body)
	return string(body), err
}

// field finds a value in what INFO and CLUSTER INFO return.
func field(info, name string) string {
	for line := range strings.Lines(info) {
		if value, found := strings.CutPrefix(line, name+":"); found {
			return strings.TrimSpace(value)
		}
	}
	return ""
}
