package redistest

import "fmt"

// SentinelName is the name by which a Sentinel of this package knows the master.
const SentinelName = "master"

// LaunchSentinel starts a Sentinel that watches the master and decides alone: it
// makes a replica the master when the master has not answered for half a second.
// Nil options are the defaults; Fsync and Args are not for Sentinels. The caller
// stops it.
func LaunchSentinel(dir string, master *Process, options *Options) (*Process, error) {
	settings, err := options.settings()
	if err != nil {
		return nil, err
	}
	settings.sentinel = fmt.Sprintf("sentinel monitor %[1]s 127.0.0.1 %[2]d 1\n"+
		"sentinel down-after-milliseconds %[1]s 500\nsentinel failover-timeout %[1]s 2000\n", SentinelName, master.port)
	return launch(dir, settings)
}
