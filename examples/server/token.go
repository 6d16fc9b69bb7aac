package main

import (
	"crypto/ed25519"
	"crypto/rand"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strings"
	"time"

	"github.com/lestrrat-go/jwx/v2/jwa"
	"github.com/lestrrat-go/jwx/v2/jwk"
	"github.com/lestrrat-go/jwx/v2/jwt"
)

// printToken is the command "server token": it makes a token for trying the service
// out, as an issuer would, and writes it to out.
func printToken(args []string, out io.Writer) error {
	var c config
	var subject, channels, proofKey string
	var admin bool
	var lifetime time.Duration
	flags := flag.NewFlagSet("token", flag.ContinueOnError)
	tokenFlags(flags, &c)
	flags.StringVar(&subject, "subject", "ann", "the claim sub: the `NAME` of the caller")
	flags.StringVar(&channels, "channels", "", "the `IDS` of ShareData that the caller may use, separated by commas; with * at the end, the beginning of ids. Empty: all")
	flags.BoolVar(&admin, "admin", false, "whether the caller may use the administration")
	flags.DurationVar(&lifetime, "lifetime", time.Hour, "the `DURATION` for which the token is good")
	flags.StringVar(&proofKey, "proof-key", "", "`FILE` with the caller's private key for proofs (a JWK); it is created if it is missing")
	if err := flags.Parse(args); err != nil {
		return err
	}
	switch {
	case flags.NArg() > 0:
		return fmt.Errorf("unexpected argument %q", flags.Arg(0))
	case lifetime <= 0:
		return fmt.Errorf("-lifetime %v: use a positive duration", lifetime)
	case c.secret == "":
		c.secret = os.Getenv(secretVariable)
	}
	secret, err := readSecret(c.secret)
	if err != nil {
		return err
	}
	now := time.Now()
	token, err := jwt.NewBuilder().Issuer(c.issuer).Subject(subject).Audience([]string{c.audience}).
		IssuedAt(now).Expiration(now.Add(lifetime)).JwtID(rand.Text()).Build()
	if err != nil {
		return err
	}
	claims := map[string]any{}
	if channels != "" {
		claims[c.channelsClaim] = strings.Split(channels, ",")
	}
	if admin {
		claims[adminClaim] = true
	}
	if proofKey != "" {
		public, err := publicProofKey(proofKey)
		if err != nil {
			return err
		}
		claims["cnf"] = map[string]any{"jwk": public} // RFC 7800 section 3.2
	}
	for name, value := range claims {
		if err := token.Set(name, value); err != nil {
			return err
		}
	}
	signed, err := jwt.Sign(token, jwt.WithKey(jwa.HS256, secret))
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(out, "%s\n", signed)
	return err
}

// publicProofKey returns the public part of the private key in a file, which it
// creates if there is none.
func publicProofKey(name string) (jwk.Key, error) {
	text, err := os.ReadFile(name)
	if errors.Is(err, fs.ErrNotExist) {
		text, err = createProofKey(name)
	}
	if err != nil {
		return nil, err
	}
	key, err := jwk.ParseKey(text)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	return key.PublicKey()
}

func createProofKey(name string) ([]byte, error) {
	_, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return nil, err
	}
	key, err := jwk.FromRaw(private)
	if err != nil {
		return nil, err
	}
	if err := jwk.AssignKeyID(key); err != nil {
		return nil, err
	}
	text, err := json.Marshal(key)
	if err != nil {
		return nil, err
	}
	return text, os.WriteFile(name, text, 0o600)
}
