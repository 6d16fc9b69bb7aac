package audit_test

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/safe-go/safe/sharedata"
	"github.com/safe-go/safe/sharedata/audit"
)

// signedExport returns the lines of an export that ends with a checkpoint, and the
// options to verify it with.
func signedExport(tb testing.TB, n int) ([]string, *audit.Options) {
	signer := newSigner(tb, ed25519Key)
	lines := chainOf(bodiesOf(n))
	c := checkpointOf(tb, signer, lines[n-1])
	return append(lines, string(c.AppendLine(nil))), &audit.Options{Keys: publicKeys(tb, signer), RequireFinal: true}
}

func verifyLines(lines []string, options *audit.Options) (audit.Report, error) {
	return audit.Verify(strings.NewReader(strings.Join(lines, "")), options)
}

func TestVerify_Untampered(t *testing.T) {
	lines, options := signedExport(t, 5)
	report, err := verifyLines(lines, options)
	if err != nil || report.Entries != 5 || report.CheckpointsInExport != 1 || report.Newest.Cursor != at(5) || report.Chain.Last != at(5) {
		t.Errorf("%+v, %v", report, err)
	}
}

// wantProblem checks that an error names the line, one of the positions, and the reason.
func wantProblem(t *testing.T, what string, err error, line int, text string, reasons ...error) {
	t.Helper()
	problem, ok := errors.AsType[*audit.Error](err)
	matches := func(reason error) bool { return errors.Is(err, reason) }
	if !ok || problem.Line != line || !strings.Contains(err.Error(), text) || !slices.ContainsFunc(reasons, matches) {
		t.Errorf("%s: got %v, want line %d, %q and %v", what, err, line, text, reasons)
	}
}

func TestVerify_EveryBitFlipped(t *testing.T) {
	lines, options := signedExport(t, 2)
	export := []byte(strings.Join(lines, ""))
	line := 1
	for i := range export {
		for bit := range 8 {
			export[i] ^= 1 << bit
			_, err := audit.Verify(bytes.NewReader(export), options)
			problem, ok := errors.AsType[*audit.Error](err)
			if !ok || problem.Line != line {
				t.Fatalf("byte %d, bit %d, in line %d: %v", i, bit, line, err)
			}
			export[i] ^= 1 << bit
		}
		if export[i] == '\n' {
			line++
		}
	}
}

func TestVerify_EveryTruncation(t *testing.T) {
	lines, options := signedExport(t, 3)
	export := []byte(strings.Join(lines, ""))
	withCheckpoint := &audit.Options{Keys: options.Keys, Checkpoints: []string{checkpointOf(t, newSigner(t, ed25519Key), lines[2]).JWS}}
	inner := len(export) - len(lines[3])
	for end := range export {
		if _, err := audit.Verify(bytes.NewReader(export[:end]), options); !errors.Is(err, audit.ErrTruncated) {
			t.Fatalf("after %d bytes: %v", end, err)
		}
		// Without RequireFinal, the auditor's own checkpoint shows what is missing.
		if _, err := audit.Verify(bytes.NewReader(export[:end]), withCheckpoint); (err == nil) != (end == inner) {
			t.Fatalf("after %d bytes, with a checkpoint of the auditor: %v", end, err)
		}
	}
}

func TestVerify_EveryLineMoved(t *testing.T) {
	const n = 6 // with the checkpoint
	original, options := signedExport(t, n-1)
	try := func(what string, lines []string, line int) {
		t.Helper()
		if slices.Equal(lines, original) {
			t.Fatalf("%s: nothing was changed", what)
		}
		_, err := verifyLines(lines, options)
		if problem, ok := errors.AsType[*audit.Error](err); !ok || problem.Line != line {
			t.Errorf("%s: got %v, want an error of line %d", what, err, line)
		}
	}
	for i := range n {
		if i > 0 { // without the first, the start was trimmed
			try(fmt.Sprintf("line %d removed", i+1), slices.Delete(slices.Clone(original), i, i+1), i+1)
		}
		for j := range n + 1 {
			line := j + 1 // in which the repeated line stands
			switch {
			case j == i: // the original stands after it
				line = j + 2
			case j == 0:
				line = 2
			}
			if i == n-1 && j >= n-1 {
				continue // a repeated checkpoint
			}
			if i == n-1 && j == 0 {
				line = 1 // a checkpoint before all entries
			}
			try(fmt.Sprintf("line %d repeated before line %d", i+1, j+1), slices.Insert(slices.Clone(original), j, original[i]), line)
		}
		for j := range i {
			swapped := slices.Clone(original)
			swapped[i], swapped[j] = swapped[j], swapped[i]
			line := j + 1
			if j == 0 && i < n-1 {
				line = 2
			}
			try(fmt.Sprintf("lines %d and %d swapped", j+1, i+1), swapped, line)
		}
	}
	options.RequireStart = true
	_, err := verifyLines(original[1:], options)
	wantProblem(t, "first line removed", err, 1, "begins at 7-2", audit.ErrMissingStart)
}

func TestVerify_Tampering(t *testing.T) {
	signer := newSigner(t, ed25519Key)
	forger := newSigner(t, `{"kty":"OKP","crv":"Ed25519","d":"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA","x":"O2onvM62pC1io6jQKm8Nc2UyFXcd4kOmOsBIoYtZ2ik"}`)
	forged := bodiesOf(5)
	forged[2] = strings.Replace(forged[2], `"by":3`, `"by":3000`, 1)
	rechained := chainOf(forged)
	other := chainOf([]string{strings.Replace(bodiesOf(1)[0], `"n"`, `"m"`, 1)})
	line := func(s *audit.Signer, line string) string { return string(checkpointOf(t, s, line).AppendLine(nil)) }
	for name, test := range map[string]struct {
		tamper func(h []string) []string
		line   int
		text   string
		want   error
	}{
		"field changed":           {func(h []string) []string { h[2] = strings.Replace(h[2], `"by":3`, `"by":30`, 1); return h }, 3, "at 7-3: its hash is not that of its contents", sharedata.ErrChainBroken},
		"field changed, sealed":   {func(h []string) []string { h[2] = rechained[2]; return h }, 4, "at 7-4: it does not refer to the entry before", sharedata.ErrChainBroken},
		"removed":                 {func(h []string) []string { return slices.Delete(h, 2, 3) }, 3, "at 7-4: it follows 7-2: 7-3 is missing", sharedata.ErrChainBroken},
		"several removed":         {func(h []string) []string { return slices.Delete(h, 1, 4) }, 2, "at 7-5: it follows 7-1: 7-2 is missing", sharedata.ErrChainBroken},
		"inserted":                {func(h []string) []string { return slices.Insert(h, 2, rechained[2]) }, 4, "at 7-3: it follows 7-3: it is repeated, inserted", sharedata.ErrChainBroken},
		"inserted from elsewhere": {func(h []string) []string { return slices.Insert(h, 2, other[0]) }, 3, `belongs to "m"`, sharedata.ErrChainBroken},
		"swapped":                 {func(h []string) []string { h[2], h[3] = h[3], h[2]; return h }, 3, "at 7-4: it follows 7-2", sharedata.ErrChainBroken},
		"truncated":               {func(h []string) []string { return h[:3] }, 4, "the export ends at 7-3 without a checkpoint", audit.ErrTruncated},
		"truncated, signed":       {func(h []string) []string { return append(h[:3], h[5]) }, 4, "of the entry at 7-5, but the entries before it end at 7-3", audit.ErrTruncated},
		"all truncated":           {func(h []string) []string { return h[5:] }, 1, "no entry before the checkpoint of 7-5", audit.ErrTruncated},
		"chained again":           {func(h []string) []string { return append(slices.Clone(rechained), h[5]) }, 6, "the entry at 7-5 has another hash than in the checkpoint of 2030-01-02", audit.ErrRewritten},
		"chained and signed":      {func([]string) []string { return append(slices.Clone(rechained), line(forger, rechained[4])) }, 6, "no key", audit.ErrBadCheckpoint},
		"checkpoint of another": {func(h []string) []string {
			h[5] = line(signer, strings.TrimSuffix(chainOf([]string{strings.Replace(bodiesOf(1)[0], `"n"`, `"m"`, 1)})[0], "\n"))
			return h
		}, 6, `it is of "m"`, audit.ErrBadCheckpoint},
		"old checkpoint":      {func(h []string) []string { h[5] = line(signer, h[3]); return h }, 6, "of the entry at 7-4 and stands after that at 7-5", audit.ErrBadCheckpoint},
		"entry after the end": {func(h []string) []string { return append(h, chainOf(bodiesOf(6))[5]) }, 8, "ends at 7-6 without a checkpoint", audit.ErrTruncated},
	} {
		t.Run(name, func(t *testing.T) {
			lines, options := signedExport(t, 5)
			_, err := verifyLines(test.tamper(lines), options)
			wantProblem(t, name, err, test.line, test.text, test.want)
		})
	}
}

// Everything is chained again in a later epoch, so that all of the auditor's checkpoints
// seem to be of entries that were trimmed.
func TestVerify_RewrittenInLaterEpoch(t *testing.T) {
	signer := newSigner(t, ed25519Key)
	var checkpoints []string
	for _, line := range chainOf(bodiesOf(4)) {
		checkpoints = append(checkpoints, checkpointOf(t, signer, line).JWS)
	}
	bodies := bodiesOf(4)
	for i := range bodies {
		bodies[i] = strings.Replace(bodies[i], `"cursor":"7-`, `"cursor":"8-`, 1)
	}
	lines := chainOf(bodies)
	for name, test := range map[string]struct {
		export []string
		want   error
	}{
		"from its first entry": {lines, audit.ErrRewritten},
		"as if it was trimmed": {lines[1:], audit.ErrMissingStart},
	} {
		report, err := audit.Verify(strings.NewReader(strings.Join(test.export, "")), &audit.Options{
			Keys: publicKeys(t, signer), Checkpoints: checkpoints, AllowTrimmed: true,
		})
		if !errors.Is(err, test.want) {
			t.Errorf("%s: %+v, %v; want %v", name, report, err, test.want)
		}
	}
}
