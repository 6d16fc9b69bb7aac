package audit_test

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/safe-go/safe/replay"
	"github.com/safe-go/safe/sharedata/audit"
)

// restarted are the lines of a history that was restarted: 7-1 to 7-3, then 8-1, which
// continues 7-2, and 8-2. The entry 7-3 is lost; it is returned apart.
func restarted() (lines []string, lost string) {
	bodies := bodiesOf(3)
	before := chainOf(bodies)
	bodies[2] = strings.NewReplacer(`"7-1"`, `"8-1"`, `"kind":"number"`, `"kind":"number","continues":"7-2"`).Replace(bodies[0])
	bodies = append(bodies, strings.Replace(bodies[1], `"7-2"`, `"8-2"`, 1))
	return chainOf(bodies), before[2]
}

func TestVerify_HeldCheckpoints(t *testing.T) {
	signer := newSigner(t, ed25519Key)
	lines := chainOf(bodiesOf(6))
	forged := bodiesOf(6)
	forged[1] = strings.Replace(forged[1], `"by":2`, `"by":3`, 1)
	rechained := chainOf(forged)
	continued, lost := restarted()
	other := chainOf([]string{strings.Replace(bodiesOf(1)[0], `"n"`, `"m"`, 1)})[0]
	for name, test := range map[string]struct {
		export  []string
		of      []string // the entries of which the auditor holds checkpoints
		set     func(*audit.Options)
		want    error
		text    string
		matched int
	}{
		"all":                         {lines, lines, nil, nil, "", 6},
		"one twice":                   {lines, []string{lines[3], lines[3]}, nil, nil, "", 2},
		"truncated":                   {lines[:4], lines, nil, audit.ErrTruncated, "of the entry at 7-5, and the export ends at 7-4", 4},
		"empty":                       {nil, lines, nil, audit.ErrTruncated, "the export ends at 0-0", 0},
		"rewritten":                   {rechained, lines[3:], nil, audit.ErrRewritten, "the entry at 7-4 has another hash", 0},
		"rewritten after":             {rechained, lines[:1], nil, nil, "", 1},
		"two histories signed":        {lines, []string{lines[4], rechained[4]}, nil, audit.ErrRewritten, "two hashes for the entry at 7-5", 0},
		"trimmed just after":          {lines[3:], lines[2:3], nil, nil, "", 1},
		"rewritten, trimmed":          {rechained[3:], lines[2:3], nil, audit.ErrRewritten, "the entry at 7-3 has another hash", 0},
		"trimmed":                     {lines[3:], lines[:1], nil, audit.ErrMissingStart, "of the entry at 7-1, and the export begins at 7-4", 0},
		"trimmed, allowed":            {lines[3:], lines, func(o *audit.Options) { o.AllowTrimmed = true }, nil, "", 4},
		"trimmed, start required":     {lines[3:], nil, func(o *audit.Options) { o.RequireStart = true }, audit.ErrMissingStart, "begins at 7-4, after 7-3", 0},
		"whole":                       {lines, nil, func(o *audit.Options) { o.RequireStart = true }, nil, "", 0},
		"continued":                   {continued, continued, nil, nil, "", 4},
		"continued, lost entry":       {continued, []string{lost}, nil, audit.ErrRewritten, "at 7-3, of which there is a checkpoint of 2030-01-02T03:04:06Z, is not in the history any more", 0},
		"continuation alone":          {continued[2:], continued[1:2], nil, nil, "", 1},
		"continuation, start reqired": {continued[2:], nil, func(o *audit.Options) { o.RequireStart = true }, audit.ErrMissingStart, "begins at 8-1, after 7-2", 0},
		"another ShareData":           {lines, []string{other}, nil, audit.ErrWrongShareData, `of "n", not of "m"`, 0},
		"several ShareData":           {lines, []string{other, lines[1]}, nil, audit.ErrWrongShareData, "set ShareDataID", 0},
		"several, one chosen":         {lines, []string{other, lines[1]}, func(o *audit.Options) { o.ShareDataID = "n" }, nil, "", 1},
		"another one chosen":          {lines, nil, func(o *audit.Options) { o.ShareDataID = "m" }, audit.ErrWrongShareData, "", 0},
		"no keys":                     {lines, lines, func(o *audit.Options) { o.Keys = nil }, audit.ErrBadCheckpoint, "public keys", 0},
	} {
		t.Run(name, func(t *testing.T) {
			options := &audit.Options{Keys: publicKeys(t, signer)}
			for _, line := range test.of {
				options.Checkpoints = append(options.Checkpoints, checkpointOf(t, signer, line).JWS)
			}
			slices.Reverse(options.Checkpoints) // in any order
			if test.set != nil {
				test.set(options)
			}
			report, err := verifyLines(test.export, options)
			if !errors.Is(err, test.want) || err != nil && !strings.Contains(err.Error(), test.text) {
				t.Errorf("got %v", err)
			}
			if report.CheckpointsMatched != test.matched || report.CheckpointsMatched+report.BeforeStart != len(test.of) && err == nil && name != "several, one chosen" {
				t.Errorf("%+v", report)
			}
		})
	}
}

func TestVerify_CheckpointAfterEachEntry(t *testing.T) {
	signer := newSigner(t, ed25519Key)
	var export []string
	history, _ := restarted()
	for _, line := range history {
		checkpoint := string(checkpointOf(t, signer, line).AppendLine(nil))
		export = append(export, line, checkpoint, checkpoint)
	}
	report, err := verifyLines(export, &audit.Options{Keys: publicKeys(t, signer), RequireFinal: true, RequireStart: true})
	if last := (replay.Cursor{Epoch: 8, Revision: 2}); err != nil || report.CheckpointsInExport != 8 || report.Entries != 4 || report.Newest.Cursor != last {
		t.Errorf("%+v, %v", report, err)
	}
	if _, err := verifyLines(export, nil); !errors.Is(err, audit.ErrBadCheckpoint) {
		t.Errorf("without keys: %v", err)
	}
}

func TestVerify_Empty(t *testing.T) {
	if report, err := verifyLines(nil, nil); err != nil || report != (audit.Report{}) {
		t.Errorf("%+v, %v", report, err)
	}
	if _, err := verifyLines(nil, &audit.Options{RequireFinal: true}); !errors.Is(err, audit.ErrTruncated) {
		t.Errorf("with a checkpoint required: %v", err)
	}
	if _, err := verifyLines(nil, &audit.Options{MaxLineBytes: -2}); err == nil {
		t.Error("with a wrong limit: no error")
	}
}
