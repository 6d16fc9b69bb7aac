package storeurl_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"strings"
	"testing"

	"go.uber.org/goleak"

	"github.com/safe-go/safe/internal/redistest"
	"github.com/safe-go/safe/replay"
	"github.com/safe-go/safe/replay/redis"
	"github.com/safe-go/safe/replay/storeurl"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func Example() {
	store, err := storeurl.Open("mem:", nil) // or bolt:FILE, or redis://HOST:PORT
	if err != nil {
		fmt.Println(err)
		return
	}
	defer store.Close()
	_, err = store.Load(context.Background(), "counter", replay.Cursor{})
	fmt.Println(errors.Is(err, replay.ErrNotFound))

	// Output:
	// true
}

func TestOpen(t *testing.T) {
	server := redistest.Start(t, nil)
	for text, shared := range map[string]bool{
		"mem:": false, "mem": false,
		"bolt:" + filepath.Join(t.TempDir(), "histories.db"): false,
		"redis://" + server.Addr() + "/0":                    true,
	} {
		store, err := storeurl.Open(text, nil)
		if err != nil {
			t.Errorf("%s: %v", text, err)
			continue
		}
		if _, is := store.(replay.Follower); is != shared {
			t.Errorf("%s: follower: %v, want %v", text, is, shared)
		}
		if _, err := store.Load(t.Context(), "unknown", replay.Cursor{}); !errors.Is(err, replay.ErrNotFound) {
			t.Errorf("%s: %v, want ErrNotFound", text, err)
		}
		if err := store.Close(); err != nil {
			t.Errorf("%s: %v", text, err)
		}
	}
}

func TestOpen_Invalid(t *testing.T) {
	for _, text := range []string{"", ":", "mem:x", "bolt", "bolt:", "redis://%", "redis", "paper:x", "/histories.db"} {
		if store, err := storeurl.Open(text, nil); !errors.Is(err, storeurl.ErrInvalid) || store != nil {
			t.Errorf("%q: %v, %v", text, store, err)
		}
	}
}

func TestOpen_Options(t *testing.T) {
	for text, options := range map[string]storeurl.Options{
		"mem:":              {Memory: replay.MemoryOptions{MaxEntries: -2}},
		"redis://127.0.0.1": {Redis: redis.Options{MaxEntries: -2}},
	} {
		if store, err := storeurl.Open(text, &options); err == nil || errors.Is(err, storeurl.ErrInvalid) || store != nil {
			t.Errorf("%q: %v, %v: the options are not used", text, store, err)
		}
	}
}

func TestOpen_Logger(t *testing.T) {
	server := redistest.Start(t, &redistest.Options{Args: []string{"--appendonly", "no"}})
	for _, own := range []bool{false, true} {
		var log, ownLog bytes.Buffer
		options := storeurl.Options{Logger: slog.New(slog.NewTextHandler(&log, nil))}
		if own {
			options.Redis.Logger = slog.New(slog.NewTextHandler(&ownLog, nil))
		}
		store, err := storeurl.Open("redis://"+server.Addr(), &options)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := store.Load(t.Context(), "unknown", replay.Cursor{}); !errors.Is(err, replay.ErrNotFound) {
			t.Error(err)
		}
		if err := store.Close(); err != nil {
			t.Error(err)
		}
		const want = "nothing on disk"
		if strings.Contains(log.String(), want) == own || strings.Contains(ownLog.String(), want) != own {
			t.Errorf("Redis has a logger of its own: %t; logged were %q and %q", own, &log, &ownLog)
		}
	}
}
