package realtime_test

import (
	"os"
	"strings"
	"testing"

	"github.com/safe-go/safe/realtime"
)

// The table in docs/security.md says the defaults that there are.
func TestLimits_Documented(t *testing.T) {
	text, err := os.ReadFile("../docs/security.md")
	if err != nil {
		t.Fatal(err)
	}
	o := realtime.DefaultOptions(t)
	for row, got := range map[string]bool{
		"| `MaxMessageBytes` | 1 MiB |":          o.MaxMessageBytes == 1<<20,
		"| `MaxMessageDepth` | 128 |":            o.MaxMessageDepth == 128,
		"| `MessageTimeout` | 30 s |":            o.MessageTimeout.String() == "30s",
		"| `MessagesPerSecond` | 5,000 |":        o.MessagesPerSecond == 5000,
		"| `MessageBurst` | 10,000 |":            o.MessageBurst == 10_000,
		"| `MaxSubscriptions` | 64 |":            o.MaxSubscriptions == 64,
		"| `MaxProposalsInFlight` | 64 |":        o.MaxProposalsInFlight == 64,
		"| `MaxBufferedBytes` | 1 MiB |":         o.MaxBufferedBytes == 1<<20,
		"| `Heartbeat` | 30 s |":                 o.Heartbeat.String() == "30s",
		"| `IdleTimeout` | 15 min |":             o.IdleTimeout.String() == "15m0s",
		"| `HandshakeTimeout` | 10 s |":          o.HandshakeTimeout.String() == "10s",
		"| `MaxConnections` | 32,768 |":          o.MaxConnections == 32_768,
		"| `MaxConnectionsPerAddress` | 1,024 |": o.MaxConnectionsPerAddress == 1024,
		"| `MaxConnectionsPerSubject` | 256 |":   o.MaxConnectionsPerSubject == 256,
		"| `RevocationRetention` | 24 h |":       o.RevocationRetention.String() == "24h0m0s",
	} {
		if !strings.Contains(string(text), row) || !got {
			t.Errorf("the row %s is missing, or the default is another one", row)
		}
	}
}
