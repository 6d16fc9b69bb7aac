package realtime

import (
	"strings"

	"github.com/safe-go/safe/internal/wire"
	"github.com/safe-go/safe/schemas/codes"
)

// ReservedPrefix begins the ids of ShareData that belong to the framework. Over
// the wire they are unknown, whatever the hooks allow.
const ReservedPrefix = "$"

// isReserved reports whether a ShareData cannot be reached over the wire.
func isReserved(id string) bool { return strings.HasPrefix(id, ReservedPrefix) }

// refuseReserved replies to a proposal on a reserved id as to one on an unknown id.
func (s *session) refuseReserved(m *wire.Propose) {
	f := failure{code: codes.UnknownShareData, text: unknownText(m.ShareDataID)}
	s.reply(m, f.frame(m.CorrelationID))
}
