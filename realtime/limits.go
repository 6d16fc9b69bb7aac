package realtime

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"time"

	"github.com/safe-go/safe/internal/option"
)

// Defaults of the limits on what comes from peers; Options explains each.
const (
	defaultMaxMessageBytes   = 1 << 20
	defaultMaxMessageDepth   = 128
	defaultMaxSubscriptions  = 64
	defaultMaxProposals      = 64
	defaultMessagesPerSecond = 5_000

	defaultMaxConnections           = 32_768
	defaultMaxConnectionsPerSubject = 256
	defaultDrainPerSecond           = 1000
	defaultShutdownTimeout          = 10 * time.Second
	defaultMaxConnectionsPerAddress = 1024

	defaultHandshakeTimeout = 10 * time.Second
	defaultMessageTimeout   = 30 * time.Second
	defaultIdleTimeout      = 15 * time.Minute
)

var errInvalidPrefix = fmt.Errorf("%w: realtime: Options.TrustedProxies", option.ErrInvalid)

// fillLimits fills in the limits. A disabled limit becomes unlimited for a number
// and 0 for a duration.
func (o *Options) fillLimits() error {
	numbers := []struct {
		name         string
		field        *int
		defaultValue int
	}{
		{"MaxMessageBytes", &o.MaxMessageBytes, defaultMaxMessageBytes},
		{"MaxMessageDepth", &o.MaxMessageDepth, defaultMaxMessageDepth},
		{"MaxBufferedMessages", &o.MaxBufferedMessages, unlimited},
		{"MaxSubscriptions", &o.MaxSubscriptions, defaultMaxSubscriptions},
		{"MaxProposalsInFlight", &o.MaxProposalsInFlight, defaultMaxProposals},
		{"MessagesPerSecond", &o.MessagesPerSecond, defaultMessagesPerSecond},
		{"MaxConnections", &o.MaxConnections, defaultMaxConnections},
		{"MaxConnectionsPerSubject", &o.MaxConnectionsPerSubject, defaultMaxConnectionsPerSubject},
		{"MaxConnectionsPerAddress", &o.MaxConnectionsPerAddress, defaultMaxConnectionsPerAddress},
		{"DrainPerSecond", &o.DrainPerSecond, defaultDrainPerSecond},
	}
	var errs []error
	for _, n := range numbers {
		errs = append(errs, option.Fill("realtime: Options."+n.name, n.field, n.defaultValue, unlimited))
		*n.field = min(*n.field, unlimited)
	}
	errs = append(errs,
		option.FillPositive("realtime: Options.MessageBurst", &o.MessageBurst, 2*o.MessagesPerSecond),
		option.Fill("realtime: Options.HandshakeTimeout", &o.HandshakeTimeout, defaultHandshakeTimeout, 0),
		option.Fill("realtime: Options.MessageTimeout", &o.MessageTimeout, defaultMessageTimeout, 0),
		option.Fill("realtime: Options.IdleTimeout", &o.IdleTimeout, defaultIdleTimeout, 0),
		option.Fill("realtime: Options.ShutdownTimeout", &o.ShutdownTimeout, defaultShutdownTimeout, 0),
	)
	o.TrustedProxies = slices.Clone(o.TrustedProxies)
	for i, prefix := range o.TrustedProxies {
		if !prefix.IsValid() {
			errs = append(errs, fmt.Errorf("%w: prefix %d is invalid; use netip.ParsePrefix", errInvalidPrefix, i))
			continue
		}
		if address := prefix.Addr(); address.Is4In6() && prefix.Bits() >= 96 {
			o.TrustedProxies[i] = netip.PrefixFrom(address.Unmap(), prefix.Bits()-96)
		}
	}
	return errors.Join(errs...)
}
