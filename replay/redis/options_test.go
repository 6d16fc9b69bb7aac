package redis

import (
	"strings"
	"testing"
	"time"

	goredis "github.com/redis/go-redis/v9"
)

// nowhere is a client of a server that is not there.
func nowhere(t testing.TB, change func(*goredis.Options)) *goredis.Client {
	t.Helper()
	options := &goredis.Options{Addr: "127.0.0.1:1", ContextTimeoutEnabled: true}
	if change != nil {
		change(options)
	}
	client := goredis.NewClient(options)
	t.Cleanup(func() { _ = client.Close() })
	return client
}

func TestOptions_Invalid(t *testing.T) {
	for want, options := range map[string]Options{
		"Prefix is":           {Prefix: "my{service}:"},
		"MaxEntries is":       {MaxEntries: -2},
		"MaxBytes is":         {MaxBytes: -2},
		"MaxAge is":           {MaxAge: -2},
		"WaitReplicas is":     {WaitReplicas: -2},
		"Timeout is":          {Timeout: -2},
		"CheckInterval is":    {CheckInterval: -time.Second},
		"MaxSilence is":       {MaxSilence: -2},
		"WaitTimeout is -1ns": {WaitTimeout: -1},
		"WaitTimeout is 3s; use a time shorter than Timeout":                  {WaitReplicas: 1, WaitTimeout: 3 * time.Second},
		"WaitTimeout is 5s; use a time shorter than the client's ReadTimeout": {WaitReplicas: 1, WaitTimeout: 5 * time.Second, Timeout: time.Minute},
	} {
		s, err := New(nowhere(t, nil), &options)
		if err == nil {
			t.Errorf("%+v: no error, %v; want %q", options, s.Close(), want)
			continue
		}
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%+v: %v; want %q", options, err, want)
		}
	}
	off := &Options{MaxEntries: -1, MaxBytes: -1, MaxAge: -1, WaitReplicas: -1, Timeout: -1, CheckInterval: -1, MaxSilence: -1}
	s := open(t, nowhere(t, nil), off)
	if got := s.options; got.MaxEntries != 0 || got.MaxBytes != 0 || got.MaxAge != 0 || got.WaitReplicas != 0 ||
		got.Timeout != 0 || got.CheckInterval != 0 || got.MaxSilence != 0 {
		t.Errorf("with everything off: %+v", got)
	}
	s = open(t, nowhere(t, nil), nil)
	if got := s.options; got.Prefix != "safe:" || got.Timeout != 3*time.Second || got.CheckInterval != 10*time.Second ||
		got.MaxSilence != 4*time.Second || got.WaitReplicas != 0 || got.MaxEntries != 0 {
		t.Errorf("by default: %+v", got)
	}
}

func TestNew_InvalidClient(t *testing.T) {
	ring := goredis.NewRing(&goredis.RingOptions{Addrs: map[string]string{"a": "127.0.0.1:1"}, HeartbeatFrequency: time.Hour})
	defer ring.Close()
	contexts := nowhere(t, func(o *goredis.Options) { o.ContextTimeoutEnabled = false })
	for want, client := range map[string]goredis.UniversalClient{
		"set ContextTimeoutEnabled": contexts,
		"*redis.Ring":               ring,
		"<nil>":                     nil,
	} {
		s, err := New(client, nil)
		if err == nil {
			t.Errorf("%T: no error, %v; want %q", client, s.Close(), want)
			continue
		}
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%T: %v; want %q", client, err, want)
		}
	}
}
