package redis

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
)

// A server must be of this version or later, and one of a cluster of a version that
// has sharded channels.
const (
	oldestMajor, oldestMinor = 6, 2
	oldestClusterMajor       = 7
)

var errOld = errors.New("the server is too old")

// ready returns nil if the server may be used: it can be reached, as far as is
// known, and it meets the requirements. Those are checked when it is first used,
// and again after it could not be reached.
func (srv *server) ready(ctx context.Context) error {
	fit, err := srv.isFit()
	if fit || err != nil {
		return err
	}
	select {
	case srv.checking <- struct{}{}:
	case <-ctx.Done():
		return ctx.Err()
	}
	defer func() { <-srv.checking }()
	if fit, err := srv.isFit(); fit || err != nil {
		return err // another goroutine was first
	}
	if err := srv.checkRequirements(ctx); err != nil {
		return err
	}
	srv.setFit(true)
	return nil
}

func (srv *server) isFit() (bool, error) {
	srv.mu.Lock()
	defer srv.mu.Unlock()
	return srv.fit, srv.down
}

func (srv *server) setFit(fit bool) {
	srv.mu.Lock()
	defer srv.mu.Unlock()
	srv.fit = fit
}

// checkRequirements asks the server what it is, whether its user may use the
// channels, and how it is configured. Other permissions are checked by the server
// with each script.
func (srv *server) checkRequirements(ctx context.Context) error {
	info, err := do(ctx, srv.client.Process, "info")
	if err != nil {
		return err
	}
	fields := parseInfo(text(info))
	if err := checkInfo(fields, srv.store.clustered); err != nil {
		return refused(srv.name, "it does not fit", err)
	}
	if err := srv.checkChannels(ctx); err != nil {
		return err
	}
	srv.noteRun(fields["run_id"])
	return srv.checkConfiguration(ctx)
}

// checkChannels publishes on a channel that nobody uses and subscribes to it, to see
// whether the user may. The channel may belong to another server of a cluster, or
// to none, so other errors do not matter.
func (srv *server) checkChannels(ctx context.Context) error {
	channel := srv.store.options.Prefix + "permissions"
	permitted := func(err error) bool {
		kind, _ := classify(err)
		return kind == kindOther || kind == kindBusy
	}
	if _, err := do(ctx, srv.client.Process, srv.store.publish, channel, ""); !permitted(err) {
		return err
	}
	pubsub := srv.client.Subscribe(ctx)
	defer pubsub.Close()
	subscribe := pubsub.Subscribe
	if srv.store.clustered {
		subscribe = pubsub.SSubscribe
	}
	err := subscribe(ctx, channel)
	if err == nil {
		_, err = pubsub.ReceiveTimeout(ctx, srv.client.Options().ReadTimeout)
	}
	if !permitted(err) {
		return err
	}
	return nil
}

// checkConfiguration logs what is wrong with the server's configuration, once. It
// knows nothing of it if the user may not ask.
func (srv *server) checkConfiguration(ctx context.Context) error {
	settings := make(map[string]string)
	for _, name := range []string{"maxmemory-policy", "appendonly", "save"} {
		result, err := do(ctx, srv.client.Process, "config", "get", name)
		if kind, _ := classify(err); kind != kindOther && kind != kindRefused {
			return err
		}
		_, settings[name], _ = strings.Cut(text(result), "\n")
	}
	var wrong []string
	if policy := settings["maxmemory-policy"]; policy != "" && policy != "noeviction" {
		wrong = append(wrong, fmt.Sprintf("its maxmemory-policy is %s, so that it may evict histories; set it to noeviction", policy))
	}
	if settings["appendonly"] == "no" && settings["save"] == "" {
		wrong = append(wrong, "it keeps nothing on disk, so that a restart loses all histories; set appendonly to yes")
	}
	warning := strings.Join(wrong, "; ")
	srv.mu.Lock()
	isNew := warning != "" && warning != srv.warned
	srv.warned = warning
	srv.mu.Unlock()
	if isNew {
		srv.store.options.Logger.Warn("a Redis server is not configured as a store of record", "server", srv.name, "reason", warning)
	}
	return nil
}

// text returns the text of a reply, and lines for a list or a map.
func text(result any) string {
	var lines []string
	switch result := result.(type) {
	case string:
		return result
	case []any:
		for _, item := range result {
			lines = append(lines, text(item))
		}
	case map[any]any:
		for name, value := range result {
			lines = append(lines, text(name), text(value))
		}
	}
	return strings.Join(lines, "\n")
}

// parseInfo reads a reply to INFO.
func parseInfo(info string) map[string]string {
	fields := make(map[string]string)
	for line := range strings.Lines(info) {
		if name, value, found := strings.Cut(line, ":"); found {
			fields[name] = strings.TrimSpace(value)
		}
	}
	return fields
}

// checkInfo says which requirement a server does not meet, by its reply to INFO.
// What the reply leaves out is not checked.
func checkInfo(fields map[string]string, clustered bool) error {
	switch mode := fields["redis_mode"]; {
	case mode == "sentinel":
		return errors.New("it is a Sentinel; make the client with goredis.NewFailoverClient")
	case mode == "cluster" && !clustered:
		return errors.New("it is one of a cluster; make the client with goredis.NewClusterClient")
	}
	version := fields["redis_version"]
	first, rest, _ := strings.Cut(version, ".")
	second, _, _ := strings.Cut(rest, ".")
	major, errMajor := strconv.Atoi(first)
	minor, errMinor := strconv.Atoi(second)
	switch {
	case errMajor != nil || errMinor != nil:
	case clustered && major < oldestClusterMajor:
		return fmt.Errorf("%w: it is Redis %.20q; in a cluster, use %d.0 or later", errOld, version, oldestClusterMajor)
	case major < oldestMajor || major == oldestMajor && minor < oldestMinor:
		return fmt.Errorf("%w: it is Redis %.20q; use %d.%d or later", errOld, version, oldestMajor, oldestMinor)
	}
	return nil
}
