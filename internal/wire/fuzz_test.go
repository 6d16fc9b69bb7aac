package wire

import (
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"testing"
)

// FuzzDecodeClient compares the decoder with the schema, and the encoder with the
// decoder.
func FuzzDecodeClient(f *testing.F) {
	oracle := newOracle(f, "v1/client-message.json")
	validator := newValidator(f)
	seed(f)
	f.Fuzz(func(t *testing.T, frame []byte) {
		if len(frame) > defaultClientBytes {
			t.Skip()
		}
		decode := func(data []byte) (message, error) { return DecodeClient(data, Limits{}) }
		agree(t, frame, decode, oracle, validator.ExplainClient)
	})
}

// FuzzDecodeServer is FuzzDecodeClient for the other direction.
func FuzzDecodeServer(f *testing.F) {
	oracle := newOracle(f, "v1/server-message.json")
	validator := newValidator(f)
	seed(f)
	f.Fuzz(func(t *testing.T, frame []byte) {
		decode := func(data []byte) (message, error) { return DecodeServer(data, Limits{}) }
		agree(t, frame, decode, oracle, validator.ExplainServer)
	})
}

func agree(t *testing.T, frame []byte, decode func([]byte) (message, error), oracle oracle, explain func([]byte) error) {
	before := string(frame)
	decoded, err := decode(frame)
	if string(frame) != before {
		t.Fatalf("decoding changed the frame %q to %q", before, frame)
	}
	want := oracle.check(frame, defaultDepth)
	if want != errUnknown {
		if (err == nil) != (want == nil) {
			t.Fatalf("decoder: %v\noracle: %v\nframe: %q", err, want, frame)
		}
		explained := explain(frame)
		if (explained == nil) != (want == nil) && !errors.Is(err, ErrTooDeep) {
			t.Fatalf("validator: %v\noracle: %v\nframe: %q", explained, want, frame)
		}
	}
	if err != nil {
		var failure *DecodeError
		if !errors.As(err, &failure) || decoded != nil {
			t.Fatalf("decoded %#v with error %#v", decoded, err)
		}
		if failure.Offset < -1 || failure.Offset > len(frame) || len(failure.Error()) > 1000 {
			t.Fatalf("offset %d in a frame of %d bytes: %v", failure.Offset, len(frame), failure)
		}
		return
	}
	encoded := decoded.AppendTo(nil)
	again, err := decode(encoded)
	if err != nil {
		t.Fatalf("decode what was encoded: %v\nframe: %q\nencoded: %q", err, frame, encoded)
	}
	if !reflect.DeepEqual(again, decoded) {
		t.Fatalf("decoded\n%#v, then\n%#v", decoded, again)
	}
	// Neither the validator nor the oracle evaluates numbers that take it too long.
	if err := explain(encoded); err != nil && want != errUnknown {
		t.Fatalf("validator: %v\nencoded: %q", err, encoded)
	}
}

// seed adds every frame under testdata.
func seed(f *testing.F) {
	var count int
	for _, pattern := range []string{"frames/*.json", "loose/*.json", "refused/*/*.json"} {
		paths, err := filepath.Glob(filepath.Join("testdata", pattern))
		if err != nil {
			f.Fatal(err)
		}
		for _, path := range paths {
			frame, err := os.ReadFile(path)
			if err != nil {
				f.Fatal(err)
			}
			f.Add(frame)
			count++
		}
	}
	if count == 0 {
		f.Fatal("no seeds under testdata")
	}
}
