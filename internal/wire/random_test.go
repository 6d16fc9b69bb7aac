package wire

import (
	"fmt"
	"math/rand/v2"
	"strconv"
	"strings"
	"testing"
)

// Values for random frames: JSON of one kind each, usual and unusual.
var (
	someTexts    = []string{`"c"`, `"a\"b\\\/\u0000\n"`, `"é😀\u2028"`, `"\ud83d\ude00"`, longText(256), longText(257), longText(1024)}
	someIntegers = []string{`0`, `1`, `-0`, `1.0`, `1e2`, `100e-2`, `0.0e9`, `12.50e1`, `9007199254740991`, `9.007199254740991E+15`}
	someFlags    = []string{`true`, `false`}
	someRaws     = []string{`null`, `{}`, `[ 1, {"a":[]} ]`, `"text"`, `-1.5e-7`, `{"v":1,"type":"ping"}`, strings.Repeat("[", 127) + strings.Repeat("]", 127)}
	someBad      = []string{
		`null`, `""`, `0`, `2`, `-1`, `1.5`, `1e400`, `"0123456789ABCDEF"`, `9007199254740992`, `1e-1`, `[]`, `{}`, `"\ud83d"`, "\"\xff\"", `"x`, `tru`, `01`,
		`{"a":1,"a":2}`, `{"a":1,"\u0061":2}`, longText(1025), strings.Repeat("[", 128) + strings.Repeat("]", 128),
	}
)

func longText(length int) string { return strconv.Quote(strings.Repeat("é", length)) }

// usualValues returns values that a member may have.
func usualValues(m member) []string {
	switch m {
	case memberV:
		return []string{`1`, `1`, `1`, `1.0`, `10e-1`}
	case memberType:
		var types []string
		for _, name := range []string{
			TypeSubscribe, TypeUnsubscribe, TypePropose, TypePing, TypeAuthenticate,
			TypeState, TypeTransaction, TypeLifecycle, TypeProposalResult, TypePong, TypeAuthenticated, TypeError,
		} {
			types = append(types, `"`+name+`"`)
		}
		return types
	case memberEvent:
		return []string{`"updated"`, `"removed"`, `"\u0075pdated"`}
	case memberProposedData, memberProof, memberCurrentState, memberDetails:
		return someRaws
	case memberRevision, memberReplaying, memberRetryAfterMs, memberTokenExpiresInMs:
		return someIntegers
	case memberSkipped:
		return someIntegers[1:2]
	case memberStateHash:
		return []string{`"` + someHash + `"`, `"` + strings.Replace(someHash, "0", `\u0030`, 1) + `"`}
	case memberPatch:
		return []string{`[]`, `[ {"op":"remove","path":"/a"} ]`}
	case memberActivity: // a flag of a subscribe, an object of a transaction
		return []string{`true`, `false`, `{}`, `{"time":"2026-01-02T03:04:05Z","subject":"ann"}`, `{ "time" : 7 }`}
	case memberAccepted, memberReplayed, memberReplayLifecycle, memberKeepConnection, memberDuplicate, memberTokenExpiry,
		memberPatches, memberIncludeState, memberConflate, memberResumed:
		return someFlags
	default:
		return someTexts
	}
}

// randomFrame returns a frame with most of the members, most of them valid.
func randomFrame(random *rand.Rand) []byte {
	pick := func(values []string) string { return values[random.IntN(len(values))] }
	oneIn := func(n int) bool { return random.IntN(n) == 0 }
	var members []string
	for m := range memberCount {
		if m > memberType && oneIn(8) || oneIn(100) {
			continue
		}
		value := pick(usualValues(m))
		if oneIn(60) {
			value = pick(someBad)
		} else if oneIn(60) {
			value = pick(usualValues(member(random.IntN(int(memberCount)))))
		}
		name := `"` + memberNames[m] + `"`
		if oneIn(20) {
			name = fmt.Sprintf(`"\u%04x%s"`, memberNames[m][0], memberNames[m][1:])
		}
		members = append(members, name+pick([]string{":", ":", " :\t"})+value)
	}
	if oneIn(5) {
		members = append(members, `"unknown":`+pick(someRaws))
	}
	if oneIn(60) {
		members = append(members, members[random.IntN(len(members))])
	}
	random.Shuffle(len(members), func(i, j int) { members[i], members[j] = members[j], members[i] })
	frame := "{" + strings.Join(members, pick([]string{",", ",", " ,\r\n"})) + "}"
	if oneIn(60) {
		frame += pick([]string{" ", "\n\t", "x", "{}", "\x00"})
	}
	if oneIn(60) {
		at := random.IntN(len(frame))
		frame = frame[:at] + frame[at+1:]
	}
	return []byte(frame)
}

func TestRandomFrames(t *testing.T) {
	validator := newValidator(t)
	directions := []struct {
		name    string
		decode  func([]byte) (message, error)
		oracle  oracle
		explain func([]byte) error
	}{
		{
			"client", func(data []byte) (message, error) { return DecodeClient(data, Limits{}) },
			newOracle(t, "v1/client-message.json"), validator.ExplainClient,
		},
		{
			"server", func(data []byte) (message, error) { return DecodeServer(data, Limits{}) },
			newOracle(t, "v1/server-message.json"), validator.ExplainServer,
		},
	}
	for _, direction := range directions {
		t.Run(direction.name, func(t *testing.T) {
			frames := 3000
			if raceEnabled {
				frames = 300
			}
			random := rand.New(rand.NewPCG(1, 2))
			taken := 0
			for range frames {
				frame := randomFrame(random)
				agree(t, frame, direction.decode, direction.oracle, direction.explain)
				if _, err := direction.decode(frame); err == nil {
					taken++
				}
			}
			if taken < frames/20 || taken > frames*19/20 {
				t.Errorf("%d of %d frames were taken; the test needs both kinds", taken, frames)
			}
			t.Logf("%d of %d frames taken", taken, frames)
		})
	}
}
