// Package option fills in numeric options, which all packages document alike: 0
// is the default, -1 switches off, and any other negative value is an error.
package option

import (
	"errors"
	"fmt"
)

// ErrInvalid is found by errors.Is in every error of this package.
var ErrInvalid = errors.New("invalid option")

// Number is the type of an option; time.Duration is one.
type Number interface{ ~int | ~int64 | ~float64 }

// Fill replaces 0 in the field by the default and -1 by off, the value that means
// "no limit" or "never" to the code that uses the option. The name is for the
// error, for example "realtime: Options.MaxBufferedBytes".
func Fill[N Number](name string, field *N, byDefault, off N) error {
	switch {
	case *field == 0:
		*field = byDefault
	case *field == -1:
		*field = off
	case !(*field > 0): // NaN too
		return fmt.Errorf("%w: %s is %v; use a positive value, 0 for the default %v, or -1 to switch it off",
			ErrInvalid, name, *field, byDefault)
	}
	return nil
}

// FillPositive is Fill for an option that cannot be switched off.
func FillPositive[N Number](name string, field *N, byDefault N) error {
	switch {
	case *field == 0:
		*field = byDefault
	case !(*field > 0): // NaN too
		return fmt.Errorf("%w: %s is %v; use a positive value, or 0 for the default %v",
			ErrInvalid, name, *field, byDefault)
	}
	return nil
}
