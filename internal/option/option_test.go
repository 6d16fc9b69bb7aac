package option_test

import (
	"errors"
	"math"
	"testing"
	"time"

	"github.com/safe-go/safe/internal/option"
)

func TestFill(t *testing.T) {
	const byDefault, off = 7 * time.Second, time.Duration(math.MaxInt64)
	for _, test := range []struct {
		given, want time.Duration
		invalid     bool
	}{
		{0, byDefault, false},
		{-1, off, false},
		{time.Second, time.Second, false},
		{-2, -2, true},
		{-time.Second, -time.Second, true},
	} {
		got := test.given
		err := option.Fill("test: Options.Interval", &got, byDefault, off)
		if got != test.want || errors.Is(err, option.ErrInvalid) != test.invalid {
			t.Errorf("%v: filled as %v, %v; want %v, invalid %t", test.given, got, err, test.want, test.invalid)
		}
	}
}

func TestFillPositive(t *testing.T) {
	for _, test := range []struct {
		given, want float64
		invalid     bool
	}{
		{0, 2, false},
		{1.5, 1.5, false},
		{-1, -1, true},
	} {
		got := test.given
		err := option.FillPositive("test: Options.Factor", &got, 2)
		if got != test.want || errors.Is(err, option.ErrInvalid) != test.invalid {
			t.Errorf("%v: filled as %v, %v; want %v, invalid %t", test.given, got, err, test.want, test.invalid)
		}
	}
	if nan := math.NaN(); option.FillPositive("test: Options.Factor", &nan, 2) == nil || option.Fill("test: Options.Factor", &nan, 2, 0) == nil {
		t.Error("NaN is taken as a number")
	}
}
