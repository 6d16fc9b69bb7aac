package realtime

import (
	"math/rand/v2"
	"slices"
	"testing"
	"time"
)

// The heap gives alarms out when their time has come, and not those that were moved or
// removed.
func TestAlarms_Random(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	now := time.Now().Round(0)
	e := &alarms{track: func(func()) {}, wall: true}
	defer func() { e.timer.Stop() }()
	sessions := make([]*session, 200)
	model := make(map[*session]time.Time)
	for i := range sessions {
		sessions[i] = &session{}
		sessions[i].expiryAlarm = newAlarm(sessions[i], alarmExpiry)
	}
	for range 20_000 {
		switch s := sessions[random.IntN(len(sessions))]; random.IntN(10) {
		case 0:
			now = now.Add(time.Duration(random.IntN(5)) * time.Second)
			var want []*session
			for s, at := range model {
				if !now.Before(at) {
					want = append(want, s)
					delete(model, s)
				}
			}
			got := e.take(now)
			if len(got) != len(want) || slices.ContainsFunc(got, func(a *alarm) bool { return !slices.Contains(want, a.session) }) {
				t.Fatalf("%d alarms, want %d", len(got), len(want))
			}
		case 1, 2:
			e.set(&s.expiryAlarm, time.Time{})
			delete(model, s)
		default:
			model[s] = now.Add(time.Duration(random.IntN(100)) * time.Second)
			e.set(&s.expiryAlarm, model[s])
		}
		if len(e.queue) != len(model) {
			t.Fatalf("%d in the heap, want %d", len(e.queue), len(model))
		}
	}
}
