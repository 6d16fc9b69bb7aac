package redis

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"

	goredis "github.com/redis/go-redis/v9"
)

// A server must be of this version or later.
const oldestMajor, oldestMinor = 6, 2

// One of a cluster must be of this version or later, which has sharded channels.
const oldestClusterMajor = 7

var errOld = errors.New("the server is too old")

// ready returns nil if the server may be used: it can be reached, as far as is
// known, and it is fit. That it is fit is found out once, and again whenever it
// was away.
func (v *server) ready(ctx context.Context) error {
	fit, err := v.fit()
	if fit || err != nil {
		return err
	}
	select {
	case v.examining <- struct{}{}:
	case <-ctx.Done():
		return ctx.Err()
	}
	defer func() { <-v.examining }()
	if fit, err := v.fit(); fit || err != nil {
		return err // somebody else was first
	}
	if err := v.examine(ctx); err != nil {
		return err
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	v.examined = true
	return nil
}

func (v *server) fit() (bool, error) {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.examined, v.down
}

// examine asks the server what it is and how it is configured. Users who may not
// ask are not told what is amiss.
func (v *server) examine(ctx context.Context) error {
	info, err := v.ask(ctx, "info")
	if err != nil {
		return err
	}
	fields := parseInfo(info)
	if err := checkInfo(fields, v.store.clustered); err != nil {
		return refused(v.name, "it does not fit", err)
	}
	v.noteRun(fields["run_id"])
	var found []string
	setting := func(name string) string {
		if err == nil {
			var text string
			text, err = v.ask(ctx, "config", "get", name)
			_, text, _ = strings.Cut(text, "\n")
			return text
		}
		return ""
	}
	policy, appendOnly, save := setting("maxmemory-policy"), setting("appendonly"), setting("save")
	if err != nil {
		return err
	}
	if policy != "" && policy != "noeviction" {
		found = append(found, fmt.Sprintf("its maxmemory-policy is %s, so that it may throw histories away; set it to noeviction", policy))
	}
	if appendOnly == "no" && save == "" {
		found = append(found, "it keeps nothing on disk, so that a restart loses all histories; set appendonly to yes")
	}
	v.warn(strings.Join(found, "; "))
	return nil
}

// warn logs what is amiss unless it was logged before.
func (v *server) warn(amiss string) {
	v.mu.Lock()
	fresh := amiss != "" && amiss != v.warned
	v.warned = amiss
	v.mu.Unlock()
	if fresh {
		v.store.settings.logger.Warn("a Redis server is not configured as a store of record", "server", v.name, "amiss", amiss)
	}
}

// ask returns the text of an answer, lines for a list or a map of texts, and
// nothing where the user may not ask.
func (v *server) ask(ctx context.Context, args ...any) (string, error) {
	answer, err := v.store.ask(ctx, v.client.Process, args...)
	if verdict, _ := judge(err); err != nil && (verdict == verdictOther || isAnswer(err, "NOPERM")) {
		return "", nil
	}
	if err != nil && !errors.Is(err, goredis.Nil) {
		return "", err
	}
	return text(answer), nil
}

func text(reply any) string {
	var lines []string
	switch reply := reply.(type) {
	case string:
		return reply
	case []any:
		for _, item := range reply {
			lines = append(lines, text(item))
		}
	case map[any]any:
		for name, value := range reply {
			lines = append(lines, text(name), text(value))
		}
	}
	return strings.Join(lines, "\n")
}

// parseInfo reads an answer to INFO.
func parseInfo(info string) map[string]string {
	fields := make(map[string]string)
	for line := range strings.Lines(info) {
		if name, value, found := strings.Cut(line, ":"); found {
			fields[name] = strings.TrimSpace(value)
		}
	}
	return fields
}

// checkInfo says what about a server does not fit, by its answer to INFO. What
// the answer leaves out is not held against it.
func checkInfo(fields map[string]string, clustered bool) error {
	switch mode := fields["redis_mode"]; {
	case mode == "sentinel":
		return errors.New("it is a Sentinel; make the client with goredis.NewFailoverClient")
	case mode == "cluster" && !clustered:
		return errors.New("it is one of a cluster; make the client with goredis.NewClusterClient")
	}
	version := fields["redis_version"]
	major, rest, _ := strings.Cut(version, ".")
	minor, _, _ := strings.Cut(rest, ".")
	a, err := strconv.Atoi(major)
	b, errMinor := strconv.Atoi(minor)
	switch {
	case err != nil || errMinor != nil:
	case clustered && a < oldestClusterMajor:
		return fmt.Errorf("%w: it is Redis %.20q; in a cluster, use %d.0 or later", errOld, version, oldestClusterMajor)
	case a < oldestMajor || a == oldestMajor && b < oldestMinor:
		return fmt.Errorf("%w: it is Redis %.20q; use %d.%d or later", errOld, version, oldestMajor, oldestMinor)
	}
	return nil
}
