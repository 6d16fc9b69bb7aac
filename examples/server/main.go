// Command server is a small complete service: two ShareData over WebSocket,
// and an administration over HTTP on the same address.
//
//	go run ./examples/server -addr 127.0.0.1:8080
//
// It serves the ShareData "counter" ({"value":0}; functions add and reset) and
// "doc" (null; functions set and merge) at -path. Its first line on standard output is
// "listening on http://HOST:PORT". SIGINT and SIGTERM shut it down gracefully.
//
// -store says where histories are kept: in memory, in a file that outlives the
// process, or in a Redis server that any number of these processes share. If the
// store loses "counter" or "doc", the service creates them again when a client
// next uses them; if an operator removes them, they stay removed.
//
// Without further flags everybody may do everything. -jwt-hs256 and -jwks admit
// callers by signed tokens, which say what they may use; the administration needs a
// token with the claim "admin": true. With -require-proof, proposals must be proven by
// the key that is in the caller's token. The command "token" prints a token:
//
//	go run ./examples/server token -jwt-hs256 @FILE -channels counter,doc
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"github.com/safe-go/safe/realtime"
	"github.com/safe-go/safe/realtime/auth"
	"github.com/safe-go/safe/replay"
	"github.com/safe-go/safe/sharedata"
	"github.com/safe-go/safe/sharedata/proof"
)

// writeTimeout is how long a response may take after its request was read.
const writeTimeout = 30 * time.Second

type config struct {
	addr        string
	path        string
	store       string
	replay      int
	maxBuffered int
	heartbeat   time.Duration
	messageRate int
	readTimeout time.Duration
	token       string
	activity    bool

	// Signed tokens.
	secret, jwks     string
	issuer, audience string
	channelsClaim    string
	requireProof     bool
}

// secretVariable is the environment variable with the secret of tokens. It is not the
// default of a flag, because -h prints those.
const secretVariable = "SAFE_JWT_HS256"

// tokenFlags are the flags that say what tokens are like.
func tokenFlags(flags *flag.FlagSet, c *config) {
	flags.StringVar(&c.secret, "jwt-hs256", "", "the `SECRET` of tokens with HS256, at least 32 bytes, or @FILE to read it from a file; excludes -jwks; default: the environment variable "+secretVariable+", unless -jwks or -token is set")
	flags.StringVar(&c.issuer, "issuer", "https://issuer.example", "the claim `iss` of tokens")
	flags.StringVar(&c.audience, "audience", auth.DefaultAudience, "the claim `aud` of tokens")
	flags.StringVar(&c.channelsClaim, "channels-claim", "channels", "the `claim` that lists the ids of ShareData that a caller may use; without it, all")
}

func main() {
	if len(os.Args) > 1 && os.Args[1] == "token" {
		switch err := printToken(os.Args[2:], os.Stdout); {
		case errors.Is(err, flag.ErrHelp):
		case err != nil:
			fmt.Fprintln(os.Stderr, "token:", err)
			os.Exit(1)
		}
		return
	}
	var c config
	flag.StringVar(&c.addr, "addr", "127.0.0.1:8080", "`host:port` to listen on; port 0 takes a free one")
	flag.StringVar(&c.path, "path", "/realtime", "URL `path` of the WebSocket endpoint")
	flag.StringVar(&c.store, "store", "mem:", "`STORE` that keeps histories: mem:, bolt:FILE or redis://HOST:PORT")
	flag.IntVar(&c.replay, "replay", 100, "replay window in `entries`; 0 switches replay off")
	flag.IntVar(&c.maxBuffered, "max-buffered", 1<<20, "`bytes` that may wait for one connection")
	flag.DurationVar(&c.heartbeat, "heartbeat", 30*time.Second, "`interval` of WebSocket pings; 0 switches them off")
	flag.IntVar(&c.messageRate, "messages-per-second", 200_000, "`NUMBER` of messages that one connection may send per second, in the long run; high, so that load tests do not reach it; 0 is no limit")
	flag.DurationVar(&c.readTimeout, "read-timeout", 10*time.Second, "longest `time` for reading an HTTP request")
	flag.StringVar(&c.token, "token", "", "if set, the `token` that every request must carry")
	flag.BoolVar(&c.activity, "activity", false, "whether subscribers may ask who proposed what")
	tokenFlags(flag.CommandLine, &c)
	flag.StringVar(&c.jwks, "jwks", "", "`URL` or file of the public keys that sign tokens (a JSON Web Key Set); excludes -jwt-hs256")
	flag.BoolVar(&c.requireProof, "require-proof", false, "whether every proposal needs a proof by the key in the caller's token (claim cnf)")
	flag.Parse()
	if flag.NArg() > 0 {
		fmt.Fprintf(os.Stderr, "server: unexpected argument %q; the command token comes first, flags begin with -\n", flag.Arg(0))
		os.Exit(2)
	}
	if c.secret == "" && c.jwks == "" && c.token == "" {
		c.secret = os.Getenv(secretVariable)
	}

	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	logger := slog.New(slog.NewTextHandler(os.Stderr, nil))
	if err := run(ctx, c, os.Stdout, logger); err != nil {
		logger.Error("server ended", "error", err)
		os.Exit(1)
	}
}

// run serves until ctx ends, and then shuts down gracefully. The first line that
// it writes to out says where it listens.
func run(ctx context.Context, c config, out io.Writer, logger *slog.Logger) error {
	store, err := openStore(c.store, c.replay, logger)
	if err != nil {
		return err
	}
	defer store.Close()
	access, err := newAccess(c, logger)
	if err != nil {
		return err
	}
	defer access.close()
	manager, err := sharedata.NewManager(managerOptions(c, store, logger))
	if err != nil {
		return err
	}
	defer manager.Close()
	owner := newOwner(manager, logger)
	if err := owner.createAll(ctx); err != nil {
		return err
	}

	var authorizeActivity func(context.Context, *sharedata.Caller, string) error
	if c.activity {
		authorizeActivity = access.authorize.Subscribe
	}
	server, err := realtime.NewServer(manager, &realtime.Options{
		Authenticate:       access.authenticate,
		AuthenticateToken:  access.authenticateToken,
		AuthorizeSubscribe: owner.afterwards(access.authorize).Subscribe,
		AuthorizeActivity:  authorizeActivity,
		AuthorizePropose:   owner.afterwards(access.authorize).Propose,
		ReplayWindow:       orOff(c.replay),
		MaxBufferedBytes:   c.maxBuffered,
		MessagesPerSecond:  orOff(c.messageRate),
		Heartbeat:          orOff(c.heartbeat),
		Logger:             logger,
	})
	if err != nil {
		return err
	}
	defer server.Close()
	mux := http.NewServeMux()
	mux.Handle(c.path, server)
	mux.Handle(strings.TrimSuffix(c.path, "/")+"/", server) // propose, state and history
	mux.Handle("/admin/", access.requireAdmin(server, adminHandler(manager, server)))

	listener, err := net.Listen("tcp", c.addr)
	if err != nil {
		return err
	}
	fmt.Fprintf(out, "listening on http://%s\n", listener.Addr())
	web := &http.Server{Handler: mux, ReadHeaderTimeout: c.readTimeout, ReadTimeout: c.readTimeout, WriteTimeout: c.readTimeout + writeTimeout}
	return server.Serve(ctx, listener, web)
}

// managerOptions are those of the flags.
func managerOptions(c config, store replay.Store, logger *slog.Logger) *sharedata.Options {
	options := &sharedata.Options{Store: store, Kinds: kinds(), Logger: logger}
	if c.requireProof {
		options.ProofVerifier = proof.NewVerifier(proof.ConfirmationKeys{})
		options.RequireProof = func(string, string) bool { return true }
	}
	return options
}

// orOff turns a flag's 0, which means off, into the options' -1.
func orOff[N int | time.Duration](value N) N {
	if value <= 0 {
		return -1
	}
	return value
}
