package realtime

import "errors"

// ErrExpired is what AuthorizeSubscribe and AuthorizePropose return, alone or
// wrapped, when the credentials that the connection was opened with are no
// longer good. The connection is closed with 4002, so that its client renews
// them and reconnects.
var ErrExpired = errors.New("credentials are no longer good")
