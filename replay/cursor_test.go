package replay_test

import (
	"encoding/json"
	"errors"
	"math"
	"math/big"
	"regexp"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/safe-go/safe/replay"
)

func TestParseCursor(t *testing.T) {
	const largest = "18446744073709551615"
	accepted := map[string]replay.Cursor{
		"0-0":                       {},
		"1-0":                       {Epoch: 1},
		"0-1":                       {Revision: 1},
		"12-345":                    {Epoch: 12, Revision: 345},
		largest + "-" + largest:     {Epoch: math.MaxUint64, Revision: math.MaxUint64},
		"9007199254740993-10000000": {Epoch: 1<<53 + 1, Revision: 10_000_000},
	}
	for text, want := range accepted {
		got, err := replay.ParseCursor(text)
		if err != nil || got != want {
			t.Errorf("ParseCursor(%q) = %v, %v; want %v", text, got, err, want)
		}
		if got.String() != text {
			t.Errorf("ParseCursor(%q).String() = %q", text, got)
		}
	}
	refused := []string{
		"", "-", "--", "1", "1-", "-1", "1--1", "1-2-3", "1-2-", "-1-2",
		"01-2", "1-02", "00-0", "0-00", "+1-2", "1-+2", "1_0-2", "1-2_0", "0x1-2", "1e3-2", "1.0-2",
		" 1-2", "1-2 ", "1 -2", "1- 2", "1-2\n", "1-2\x00", "\ufeff1-2", "1\u20102", "１-２",
		"18446744073709551616-1", "1-18446744073709551616", strings.Repeat("9", 1<<16) + "-1", "zero", "null",
	}
	for _, text := range refused {
		got, err := replay.ParseCursor(text)
		if !errors.Is(err, replay.ErrBadCursor) || !got.IsZero() {
			t.Errorf("ParseCursor(%.40q) = %v, %v; want the zero Cursor, ErrBadCursor", text, got, err)
		}
		if err != nil && len(err.Error()) > 400 {
			t.Errorf("ParseCursor of %d bytes has an error message of %d bytes", len(text), len(err.Error()))
		}
	}
}

func TestCursor_JSON(t *testing.T) {
	type frame struct {
		At replay.Cursor `json:"at"`
	}
	want := frame{At: replay.Cursor{Epoch: 7, Revision: 8}}
	text, err := json.Marshal(want)
	if err != nil || string(text) != `{"at":"7-8"}` {
		t.Fatalf("Marshal = %s, %v", text, err)
	}
	var got frame
	if err := json.Unmarshal(text, &got); err != nil || got != want {
		t.Errorf("Unmarshal(%s) = %v, %v; want %v", text, got, err, want)
	}
	if err := json.Unmarshal([]byte(`{"at":"7-08"}`), &got); !errors.Is(err, replay.ErrBadCursor) {
		t.Errorf("Unmarshal of a bad cursor: error %v; want ErrBadCursor", err)
	}
}

func TestCursor_Next(t *testing.T) {
	before := replay.Cursor{Epoch: 3}
	if got, want := before.Next().Next(), (replay.Cursor{Epoch: 3, Revision: 2}); got != want {
		t.Errorf("the second position after %s is %s; want %s", before, got, want)
	}
	if before.IsZero() || !(replay.Cursor{}).IsZero() {
		t.Error("only the zero Cursor is the position before any history")
	}
}

func TestCursor_After(t *testing.T) {
	ascending := []replay.Cursor{{}, {Revision: 3}, {Epoch: 4}, {Epoch: 4, Revision: 1}, {Epoch: 4, Revision: 9}, {Epoch: 5, Revision: 2}, {Epoch: 1 << 63, Revision: 1}}
	for i, a := range ascending {
		for j, b := range ascending {
			if a.After(b) != (i > j) {
				t.Errorf("%s after %s is %t", a, b, a.After(b))
			}
		}
	}
}

func TestCursor_AppendTo(t *testing.T) {
	got := replay.Cursor{Epoch: 1, Revision: 2}.AppendTo([]byte("at "))
	if string(got) != "at 1-2" {
		t.Errorf("AppendTo = %q; want %q", got, "at 1-2")
	}
}

var canonical = regexp.MustCompile(`^(0|[1-9][0-9]*)-(0|[1-9][0-9]*)$`)

func FuzzParseCursor(f *testing.F) {
	for _, seed := range []string{
		"0-0", "1-2", "01-2", "1-02", "18446744073709551615-18446744073709551615", "18446744073709551616-0", "-", "1", "+1-2", "1-2-3",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		cursor, err := replay.ParseCursor(text)
		if want := isCursor(text); (err == nil) != want {
			t.Fatalf("ParseCursor(%q): error %v; is it a cursor? %t", text, err, want)
		}
		if err != nil {
			if !errors.Is(err, replay.ErrBadCursor) || !cursor.IsZero() {
				t.Fatalf("ParseCursor(%q) = %v, %v; want the zero Cursor, ErrBadCursor", text, cursor, err)
			}
			return
		}
		if cursor.String() != text {
			t.Fatalf("ParseCursor(%q).String() = %q", text, cursor)
		}
	})
}

// isCursor parses a cursor by other means than ParseCursor.
func isCursor(text string) bool {
	parts := canonical.FindStringSubmatch(text)
	if parts == nil {
		return false
	}
	for _, digits := range parts[1:] {
		if n, ok := new(big.Int).SetString(digits, 10); !ok || !n.IsUint64() {
			return false
		}
	}
	return true
}

func FuzzCursorRoundTrip(f *testing.F) {
	f.Add(uint64(0), uint64(0))
	f.Add(uint64(math.MaxUint64), uint64(1))
	f.Fuzz(func(t *testing.T, epoch, revision uint64) {
		want := replay.Cursor{Epoch: epoch, Revision: revision}
		if got, err := replay.ParseCursor(want.String()); err != nil || got != want {
			t.Fatalf("ParseCursor(%q) = %v, %v", want, got, err)
		}
	})
}

func TestNewEpoch_IsLater(t *testing.T) {
	synctest.Test(t, func(t *testing.T) { // no time passes, and the clock is at 2000-01-01
		for _, after := range []uint64{0, 1, replay.NewEpoch(0), 1 << 62, math.MaxUint64 - 1} {
			for range 1000 {
				epoch := replay.NewEpoch(after)
				if epoch <= after {
					t.Fatalf("NewEpoch(%d) = %d", after, epoch)
				}
			}
		}
	})
}

func TestNewEpoch_GrowsWithTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for range 1000 {
			before := replay.NewEpoch(0)
			time.Sleep(time.Millisecond)
			if after := replay.NewEpoch(0); after <= before {
				t.Fatalf("an epoch is %d, and a millisecond later it is %d", before, after)
			}
		}
	})
}

func TestNewEpoch_SameMillisecond(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		seen := make(map[uint64]bool)
		for range 100 {
			seen[replay.NewEpoch(0)] = true
		}
		// Of 2^20 random values, 100 are all different in 99.5 of 100 runs, and
		// fewer than 90 different ones practically never occur.
		if len(seen) < 90 {
			t.Errorf("100 processes that start in one millisecond name %d epochs", len(seen))
		}
	})
}
