package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"os"
	"strings"
	"time"

	"golang.org/x/crypto/acme"
)

// config has what the flags and the environment say.
type config struct {
	domains, peers              []string
	host, email, cache, wwwroot string
	cert, certKey, acme, store  string
	staging, redirect, dev      bool
	limit, port                 uint
	key                         string
	level                       slog.Level
	// heartbeat is the interval of pings, and how long a client has to send its first frame, and
	// a peer its greeting. Tests shorten it.
	heartbeat time.Duration
}

// stagingURL is the directory of Let's Encrypt's staging environment.
const stagingURL = "https://acme-staging-v02.api.letsencrypt.org/directory"

// parseConfig reads the arguments and the environment. It writes help and errors of flags to
// out.
func parseConfig(arguments []string, out io.Writer) (config, error) {
	c := config{key: os.Getenv("MLES_KEY"), heartbeat: 30 * time.Second}
	flags := flag.NewFlagSet("mles [OPTIONS] --domains <DOMAINS> --wwwroot <WWWROOT>", flag.ContinueOnError)
	flags.SetOutput(out)
	flags.Func("domains", "`DOMAIN`; may be repeated", func(domain string) error {
		c.domains = append(c.domains, strings.ToLower(domain))
		return nil
	})
	flags.StringVar(&c.email, "email", "", "`EMAIL` by which the certificate authority reaches you")
	flags.StringVar(&c.cache, "cache", "", "`DIRECTORY` that keeps certificates; without it each start gets new ones")
	flags.UintVar(&c.limit, "limit", 200, "history `LIMIT`: how many of the newest messages newcomers are sent")
	flags.StringVar(&c.wwwroot, "wwwroot", "", "`DIRECTORY` that has a directory of static files for each domain")
	flags.BoolVar(&c.staging, "staging", false, "use the staging environment of Let's Encrypt")
	flags.UintVar(&c.port, "port", 443, "`PORT` to listen on; 0 takes a free one")
	flags.BoolVar(&c.redirect, "redirect", false, "redirect HTTP at port 80")
	for _, name := range []string{"domains", "email", "cache", "limit", "wwwroot", "staging", "port", "redirect"} {
		flags.Var(flags.Lookup(name).Value, name[:1], "short for --"+name)
	}
	flags.BoolVar(&c.dev, "dev", false, "try it out: without TLS, on the loopback, for the domain localhost, at port 8080 unless --port is given")
	flags.StringVar(&c.cert, "cert", "", "`FILE` with a certificate (PEM), in place of ACME")
	flags.StringVar(&c.certKey, "key", "", "`FILE` with the key of -cert")
	flags.StringVar(&c.acme, "acme", acme.LetsEncryptURL, "`URL` of the directory of the ACME server")
	flags.StringVar(&c.store, "store", "mem:", "`STORE` of histories: mem:, bolt:FILE or redis://HOST:PORT")
	flags.Func("peer", "`URL` of a peer, ws:// or wss://; may be repeated", func(peer string) error {
		if !strings.HasPrefix(peer, "ws://") && !strings.HasPrefix(peer, "wss://") {
			return errors.New("it must begin with ws:// or wss://")
		}
		c.peers = append(c.peers, peer)
		return nil
	})
	if err := flags.Parse(arguments); err != nil {
		return c, err
	}
	portGiven := false
	flags.Visit(func(f *flag.Flag) { portGiven = portGiven || f.Name == "p" || f.Name == "port" })
	if c.dev {
		c.host = "127.0.0.1"
		c.domains = append(c.domains, "localhost")
		if !portGiven {
			c.port = 8080
		}
	}
	if c.staging {
		c.acme = stagingURL
	}
	switch level := os.Getenv("RUST_LOG"); {
	case flags.NArg() > 0:
		return c, fmt.Errorf("unexpected argument %q", flags.Arg(0))
	case len(c.domains) == 0:
		return c, errors.New("--domains is missing; to try it out without one, use -dev")
	case c.wwwroot == "" && !c.dev:
		return c, errors.New("--wwwroot is missing; to try it out without one, use -dev")
	case level != "" && c.level.UnmarshalText([]byte(level)) != nil:
		return c, fmt.Errorf("RUST_LOG=%s: use debug, info, warn or error", level)
	}
	return c, nil
}
