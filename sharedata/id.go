package sharedata

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Names that come from outside, and what they may be:
//
//	id of a ShareData    1 to MaxIDBytes of UTF-8; a new one without control characters
//	id of a function     at most MaxIDBytes of UTF-8 without control characters
//	idempotency key      at most MaxKeyBytes of UTF-8
//
// Control characters (Unicode category Cc) have no use in a name, and would act on
// the terminal or the log of the program that prints one. They are refused where a name is
// created, so that a ShareData that is in a store under such an id stays usable.

// checkNewID returns ErrInvalidID for an id that no ShareData may be created by.
// Where there is one by that id already, it returns ErrExists, as for any other id.
func (m *Manager) checkNewID(ctx context.Context, id string) error {
	if !hasControl(id) {
		return nil // enqueue checks the rest
	}
	if _, err := m.Get(ctx, id); err == nil {
		return fmt.Errorf("%w: %.60q", ErrExists, id)
	} else if !errors.Is(err, ErrUnknownShareData) {
		return err
	}
	return fmt.Errorf("%w: %.60q has a control character; use printable ones", ErrInvalidID, id)
}

func hasControl(name string) bool { return strings.ContainsFunc(name, unicode.IsControl) }

// checkFunctionID returns ErrInvalidFunction for an id that no function may have.
func checkFunctionID(id string) error {
	if len(id) > MaxIDBytes || !utf8.ValidString(id) || hasControl(id) {
		return fmt.Errorf("%w: the id %.60q has %d bytes; use at most %d of UTF-8, without control characters",
			ErrInvalidFunction, id, len(id), MaxIDBytes)
	}
	return nil
}
