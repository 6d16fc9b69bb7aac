package realtime

import (
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

func TestRateLimitedHandler(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var text strings.Builder
		log := slog.New(newRateLimitedHandler(slog.NewTextHandler(&text, &slog.HandlerOptions{
			Level: slog.LevelDebug,
			ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
				if a.Key == slog.TimeKey {
					return slog.Attr{}
				}
				return a
			},
		})))
		for i := range 4 {
			log.Warn("flood", "i", i)
			log.Debug("detail", "i", i)
			if i == 1 {
				log.Error("other")
			}
		}
		time.Sleep(logInterval)
		log.Warn("flood", "i", 4)
		log.Warn("flood", "i", 5)
		time.Sleep(2 * logInterval)
		log.Warn("flood", "i", 6)
		time.Sleep(logInterval)
		log.Warn("flood", "i", 7)
		want := `level=WARN msg=flood i=0
level=DEBUG msg=detail i=0
level=DEBUG msg=detail i=1
level=ERROR msg=other
level=DEBUG msg=detail i=2
level=DEBUG msg=detail i=3
level=WARN msg=flood i=4 suppressed=3
level=WARN msg=flood i=6 suppressed=1
level=WARN msg=flood i=7
`
		if got := text.String(); got != want {
			t.Errorf("got\n%swant\n%s", got, want)
		}
	})
}
