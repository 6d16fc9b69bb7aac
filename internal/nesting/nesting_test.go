package nesting_test

import (
	"strings"
	"testing"

	"go.uber.org/goleak"

	"github.com/safe-go/safe/internal/nesting"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestOffsetBeyond(t *testing.T) {
	for _, test := range []struct {
		text  string
		limit int
		want  int
	}{
		{``, 0, -1},
		{`1`, 0, -1},
		{`[]`, 0, 0},
		{`[]`, 1, -1},
		{`[[],[],{}]`, 2, -1},
		{`[[],{"a":[]}]`, 2, 9},
		{`["[[[",{"}":"\"["}]`, 2, -1},
		{`["\\",[[]]]`, 2, 7},
		{strings.Repeat("[", 1000), 999, 999},
		{`]]]]{{`, 1, -1}, // not JSON
		{`"unterminated [[`, 0, -1},
		{`"\`, 0, -1},
	} {
		if got := nesting.OffsetBeyond([]byte(test.text), test.limit); got != test.want {
			t.Errorf("%.40s with the limit %d: %d, want %d", test.text, test.limit, got, test.want)
		}
	}
}
