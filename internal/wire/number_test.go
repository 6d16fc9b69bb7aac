package wire

import (
	"encoding/json"
	"math/big"
	"strings"
	"testing"
)

func TestParseInteger(t *testing.T) {
	for literal, want := range map[string]uint64{
		"0": 0, "-0": 0, "0.0": 0, "-0e0": 0, "0e99999999999999999999": 0, "0.000e-99999999999999999999": 0,
		"1": 1, "1.0": 1, "1e0": 1, "10e-1": 1, "0.1e1": 1, "0.01E+2": 1, "100e-02": 1, "1e+00": 1,
		"100": 100, "1e2": 100, "1.5e1": 15, "1.50e2": 150, "10203.0": 10203, "0.0010203e7": 10203,
		"9007199254740991": maxInteger, "9007199254740991.000": maxInteger, "9.007199254740991e15": maxInteger,
		"9007199254740991000e-3": maxInteger, "900719925474099e1": 9007199254740990,
		"1" + strings.Repeat("0", 5000) + "e-5000":  1,
		"0." + strings.Repeat("0", 4999) + "7e5000": 7,
		"7." + strings.Repeat("0", 100_000):         7,
	} {
		if got, ok := parseInteger([]byte(literal)); !ok || got != want {
			t.Errorf("%.40s: %d, %v, want %d", literal, got, ok, want)
		}
	}
}

func TestParseInteger_Refused(t *testing.T) {
	for _, literal := range []string{
		"-1", "-1.0", "-1e5", "0.5", "1.5", "15e-2", "1e-1", "1.0000000000000000000000001",
		"9007199254740992", "9007199254740991.5", "9007199254740991e1", "90071992547409920", "18446744073709551617",
		"1e16", "1e400", "1e99999999999999999999", "1e-99999999999999999999", "9e9223372036854775807",
		strings.Repeat("9", 100_000), "0." + strings.Repeat("0", 100_000) + "1",
	} {
		if got, ok := parseInteger([]byte(literal)); ok {
			t.Errorf("%.40s is taken for %d", literal, got)
		}
	}
}

func FuzzParseInteger(f *testing.F) {
	for _, literal := range []string{"0", "-0", "1.0", "1e2", "120e-1", "0.0012e4", "9007199254740991", "9007199254740992", "-3", "1.5"} {
		f.Add(literal)
	}
	f.Fuzz(func(t *testing.T, literal string) {
		if !json.Valid([]byte(literal)) || !strings.Contains("-0123456789", literal[:1]) || costly(literal) {
			t.Skip()
		}
		exact, ok := new(big.Rat).SetString(literal)
		if !ok {
			t.Skip()
		}
		most := new(big.Rat).SetUint64(maxInteger)
		want := exact.IsInt() && exact.Sign() >= 0 && exact.Cmp(most) <= 0
		got, ok := parseInteger([]byte(literal))
		if ok != want || ok && exact.Cmp(new(big.Rat).SetUint64(got)) != 0 {
			t.Fatalf("%s: %d, %v, want %v, %v", literal, got, ok, exact, want)
		}
	})
}
