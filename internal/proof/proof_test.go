package proof

import (
	"bytes"
	"encoding/json"
	"errors"
	"math"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/go-json-experiment/json/jsontext"
)

func TestDocument_IsCanonical(t *testing.T) {
	texts := []string{"", "plain", `"\/`, "\x00\x01\b\f\n\r\t\x1f\x7f", "<>&\u2028", "日本語 👩‍👩‍👧", "\ufffd"}
	data := []string{
		`null`, `{"b":1,"a":{"z":[],"y":"\u0041\/"}}`, ` [ 1.0 , 1e2, -0, 0.10, 1e21, 123456789012345 ] `,
		`{"\ud83d\ude00":1,"\ufb33":2,"\u0080":3,"1":4,"\r":5}`, `"\u003c\u2028"`,
	}
	for i, text := range texts {
		for _, raw := range data {
			c := Claims{Caller{Issuer: text, Subject: texts[(i+1)%len(texts)]}, text + "p", text, text, "h"}
			got, err := c.Document(json.RawMessage(raw))
			if err != nil {
				t.Fatal(err)
			}
			again := jsontext.Value(got).Clone()
			if err := again.Canonicalize(); err != nil || !bytes.Equal(again, got) {
				t.Errorf("%q is not canonical (%v): %q", got, err, again)
			}
			var members struct {
				Claims
				ProposedData json.RawMessage `json:"proposedData"`
			}
			if err := json.Unmarshal(got, &members); err != nil || members.Claims != c || len(members.ProposedData) == 0 {
				t.Errorf("%q has %+v, want %+v (%v)", got, members, c, err)
			}
		}
	}
}

// Section 3.2.3 of RFC 8785 orders names by UTF-16, in which a surrogate pair comes
// before U+FB33.
func TestDocument_NamesInUTF16Order(t *testing.T) {
	c := Claims{}
	got, err := c.Document(json.RawMessage(`{"\ufb33":2,"\ud83d\ude00":1}`))
	if err != nil || !strings.Contains(string(got), "{\"\U0001F600\":1,\"\ufb33\":2}") {
		t.Errorf("got %s, %v", got, err)
	}
}

func TestDocument_Refused(t *testing.T) {
	c := Claims{}
	for _, raw := range []string{
		`9007199254740993`, `[1,{"a":-9007199254740993}]`, `1e999`, `-1e309`, `1e-400`, `0.1000000000000000055511151231257827`,
		`1152921504606846976`, `1e99999999999999999999`, `1e-99999999999999999999`, `{"\"":123456789012345678}`,
		`100000000000000000000000000000000000001`, `{"a":1,"a":2}`, `"\ud800"`, "\"\xff\"",
	} {
		if got, err := c.Document(json.RawMessage(raw)); !errors.Is(err, ErrData) {
			t.Errorf("%s: got %s, %v", raw, got, err)
		}
	}
	if _, err := (&Claims{Purpose: "\xff"}).Document(json.RawMessage("1")); err == nil {
		t.Error("a claim that is not UTF-8 is accepted")
	}
}

func TestNumber_Exact(t *testing.T) {
	for _, raw := range []string{
		`0`, `-0`, `0.0e5`, `0e99999999999999999999`, `1`, `-1`, `1.50`, `15e-1`, `0.0015E+3`, `9007199254740992`, `9007199254740991`, `1e21`, `1e308`,
		`1152921504606847000`, `5e-324`, `1.7976931348623157e308`, `100000000000000000000`, `1` + strings.Repeat("0", 300), `0.1`, `"9007199254740993"`, `"\\"`, `"\"9007199254740993"`,
	} {
		if got := inexactNumber(json.RawMessage(raw)); got != "" {
			t.Errorf("%s: got %s", raw, got)
		}
	}
	for range 20000 { // what encoding/json writes for a float64 can be proven
		f := math.Float64frombits(rand.Uint64())
		raw, err := json.Marshal([]float64{f})
		if err == nil && inexactNumber(raw) != "" {
			t.Errorf("%s is refused", raw)
		}
	}
}

func TestParse(t *testing.T) {
	want := Proof{Claims{Caller{"i", "s"}, "7-2", "add", "n", "ff"}, "a..b"}
	raw, err := json.Marshal(want)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := Parse(raw); err != nil || got != want {
		t.Errorf("got %+v, %v", got, err)
	}
	for _, bad := range []string{`[]`, `{"jws":1}`, `{"JWS":"a..b"}`, `{"jws":"a","more":1}`, `{"caller":{"role":"x"}}`, `{"jws":"a","jws":"b"}`} {
		if got, err := Parse(json.RawMessage(bad)); err == nil {
			t.Errorf("%s: got %+v", bad, got)
		}
	}
}
