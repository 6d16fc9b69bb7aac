package wire

import (
	"errors"
	"fmt"
	"strings"
	"testing"
)

// nested returns a ping and a pong with that many levels, the frame itself
// included.
func nested(levels int) (ping, pong []byte) {
	deep := strings.Repeat("[", levels-1) + strings.Repeat("]", levels-1)
	if levels == 1 {
		deep = "0"
	}
	format := `{"v":1,"type":"%s","correlationId":"]}","x":%s}`
	return fmt.Appendf(nil, format, TypePing, deep), fmt.Appendf(nil, format, TypePong, deep)
}

// large returns a ping and a pong of that many bytes.
func large(size int) (ping, pong []byte) {
	format := `{"v":1,"type":"%s","correlationId":"c","x":"%s"}`
	fill := strings.Repeat("x", size-len(fmt.Sprintf(format, TypePing, "")))
	return fmt.Appendf(nil, format, TypePing, fill), fmt.Appendf(nil, format, TypePong, fill)
}

func TestLimits(t *testing.T) {
	const mebibyte = 1 << 20
	tests := []struct {
		name       string
		frames     func(int) (ping, pong []byte)
		n          int
		limits     Limits
		wantClient error
		wantServer error
	}{
		{"bytes, the default", large, mebibyte, Limits{}, nil, nil},
		{"bytes, one over the default", large, mebibyte + 1, Limits{}, ErrTooLarge, nil},
		{"bytes, far over the default", large, 8 * mebibyte, Limits{}, ErrTooLarge, nil},
		{"bytes, switched off", large, mebibyte + 1, Limits{MaxBytes: -1}, nil, nil},
		{"bytes, set", large, 100, Limits{MaxBytes: 100}, nil, nil},
		{"bytes, one over what is set", large, 101, Limits{MaxBytes: 100}, ErrTooLarge, ErrTooLarge},
		{"depth, the least", nested, 1, Limits{MaxDepth: 1}, nil, nil},
		{"depth, one over the least", nested, 2, Limits{MaxDepth: 1}, ErrTooDeep, ErrTooDeep},
		{"depth, the default", nested, 128, Limits{}, nil, nil},
		{"depth, one over the default", nested, 129, Limits{}, ErrTooDeep, ErrTooDeep},
		{"depth, set", nested, 300, Limits{MaxDepth: 300}, nil, nil},
		{"depth, one over what is set", nested, 301, Limits{MaxDepth: 300}, ErrTooDeep, ErrTooDeep},
		{"depth, switched off", nested, 10000, Limits{MaxDepth: -1}, nil, nil},
		{"depth, one over the parser's", nested, 10001, Limits{MaxDepth: -1}, ErrTooDeep, ErrTooDeep},
		{"depth, set over the parser's", nested, 10001, Limits{MaxDepth: 20000}, ErrTooDeep, ErrTooDeep},
		{"depth, far over", nested, 200_000, Limits{}, ErrTooDeep, ErrTooDeep},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			ping, pong := test.frames(test.n)
			if _, err := DecodeClient(ping, test.limits); !errors.Is(err, test.wantClient) {
				t.Errorf("client: %v, want %v", err, test.wantClient)
			}
			if _, err := DecodeServer(pong, test.limits); !errors.Is(err, test.wantServer) {
				t.Errorf("server: %v, want %v", err, test.wantServer)
			}
		})
	}
}

func TestMaxDepth_BracketsInStrings(t *testing.T) {
	text := strings.Repeat(`[{\"[{`, 100)
	frame := fmt.Appendf(nil, `{"v":1,"type":"ping","correlationId":"c","%s":["%s\\",{"\"[":[]}]}`, text, text)
	if _, err := DecodeClient(frame, Limits{MaxDepth: 4}); err != nil {
		t.Errorf("four levels: %v", err)
	}
	if _, err := DecodeClient(frame, Limits{MaxDepth: 3}); !errors.Is(err, ErrTooDeep) {
		t.Errorf("four levels where three are allowed: %v", err)
	}
}

// A frame that nests too deeply is refused before it is parsed.
func TestMaxDepth_BeforeParsing(t *testing.T) {
	frame := []byte(`{"v":1,` + strings.Repeat(`"x":[`, 1<<18))
	_, err := DecodeClient(frame, Limits{MaxBytes: -1})
	var failure *DecodeError
	if !errors.As(err, &failure) || failure.Reason != ErrTooDeep {
		t.Fatalf("%v, want %v", err, ErrTooDeep)
	}
	if want := strings.Index(string(frame), "[") + 127*len(`"x":[`); failure.Offset != want {
		t.Errorf("at byte %d, want %d, the 129th level", failure.Offset, want)
	}
}
