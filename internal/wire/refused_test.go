package wire

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestRefusedFrames reads frames that must be refused, and the errors of this
// package and of package schemas for each.
func TestRefusedFrames(t *testing.T) {
	validator := newValidator(t)
	directions := []struct {
		name    string
		decode  func([]byte) (message, error)
		explain func([]byte) error
	}{
		{"client", func(frame []byte) (message, error) { return DecodeClient(frame, Limits{}) }, validator.ExplainClient},
		{"server", func(frame []byte) (message, error) { return DecodeServer(frame, Limits{}) }, validator.ExplainServer},
	}
	for _, direction := range directions {
		paths, err := filepath.Glob(filepath.Join("testdata", "refused", direction.name, "*.json"))
		if err != nil || len(paths) == 0 {
			t.Fatalf("no frames in %s: %v", direction.name, err)
		}
		for _, path := range paths {
			wantPath := strings.TrimSuffix(path, ".json") + ".want"
			t.Run(direction.name+"/"+strings.TrimSuffix(filepath.Base(path), ".json"), func(t *testing.T) {
				frame, err := os.ReadFile(path)
				if err != nil {
					t.Fatal(err)
				}
				decoded, err := direction.decode(frame)
				var failure *DecodeError
				if !errors.As(err, &failure) {
					t.Fatalf("decoded %#v with error %v, want a *DecodeError", decoded, err)
				}
				if decoded != nil {
					t.Errorf("decoded %#v beside an error", decoded)
				}
				if !errors.Is(err, failure.Reason) {
					t.Errorf("errors.Is does not find the reason %v", failure.Reason)
				}
				// The schema knows no limit of depth that low.
				explanation := "accepts it"
				if err := direction.explain(frame); err != nil {
					explanation = err.Error()
				} else if failure.Reason != ErrTooDeep {
					t.Error("the schema accepts it")
				}
				got := fmt.Sprintf("reason: %v\nplace: %q, byte %d\ncorrelationId: %q\nmessage: %v\nschema: %s\n",
					failure.Reason, failure.Pointer, failure.Offset, failure.CorrelationID, err, explanation)
				if *update {
					if err := os.WriteFile(wantPath, []byte(got), 0o644); err != nil {
						t.Fatal(err)
					}
				}
				want, err := os.ReadFile(wantPath)
				if err != nil {
					t.Fatal(err)
				}
				if got != string(want) {
					t.Errorf("got\n%s\nwant\n%s", got, want)
				}
				if lines := strings.Count(got, "\n"); lines != 5 {
					t.Errorf("%d lines, want one for each entry", lines)
				}
			})
		}
	}
}

// A refused authenticate frame has a token, which no error may repeat.
func TestAuthenticate_ErrorsHideToken(t *testing.T) {
	validator := newValidator(t)
	const secret = "eyJzZWNyZXQ"
	long := strings.Repeat(secret, 2000)
	for _, frame := range []string{
		`{"v":1,"type":"authenticate","token":"` + secret + `"}`,
		`{"v":1,"type":"authenticate","correlationId":"","token":"` + secret + `"}`,
		`{"v":1,"type":"authenticate","correlationId":1,"token":"` + secret + `"}`,
		`{"v":1,"type":"authenticate","correlationId":"c","token":"` + long + `"}`,
		`{"v":1,"type":"authenticate","correlationId":"c","token":["` + secret + `"]}`,
		`{"v":1,"type":"authenticate","correlationId":"c","token":{"jwt":"` + secret + `"}}`,
		`{"v":1,"type":"authenticate","correlationId":"c","token":"` + secret + `","token":"` + secret + `"}`,
		`{"v":1,"type":"authenticate","correlationId":"c","token":"` + secret,
		`{"v":1,"type":"authenticate","correlationId":"c","token":"` + secret + `\x"}`,
		`{"v":1,"type":"authenticate","correlationId":"c","token":` + secret + `}`,
		`{"v":1,"type":"authenticate","correlationId":"c","token":"` + secret + `"} x`,
		`{"v":2,"type":"authenticate","correlationId":"c","token":"` + secret + `"}`,
		`{"v":1,"type":"authenticated","correlationId":"c","token":"` + secret + `"}`,
	} {
		_, err := DecodeClient([]byte(frame), Limits{})
		explained := validator.ExplainClient([]byte(frame))
		if err == nil || explained == nil {
			t.Errorf("accepted: %.120s", frame)
			continue
		}
		if text := err.Error() + explained.Error(); strings.Contains(text, secret[:4]) {
			t.Errorf("the errors repeat the token: %s", text)
		}
	}
}
