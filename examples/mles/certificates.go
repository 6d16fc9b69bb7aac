package main

import (
	"crypto/tls"

	"golang.org/x/crypto/acme"
	"golang.org/x/crypto/acme/autocert"
)

// newCertificates returns a manager that gets certificates for the domains by ACME.
func newCertificates(c config) *autocert.Manager {
	m := &autocert.Manager{
		Prompt: autocert.AcceptTOS, HostPolicy: autocert.HostWhitelist(c.domains...), Email: c.email,
		Client: &acme.Client{DirectoryURL: c.acme},
	}
	if c.cache != "" {
		m.Cache = autocert.DirCache(c.cache)
	}
	return m
}

// tlsConfig returns how connections are encrypted; nil for not at all.
func tlsConfig(c config, certificates *autocert.Manager) (*tls.Config, error) {
	switch {
	case c.cert != "" || c.certKey != "":
		pair, err := tls.LoadX509KeyPair(c.cert, c.certKey)
		return &tls.Config{Certificates: []tls.Certificate{pair}, NextProtos: []string{"h2", "http/1.1"}}, err
	case c.dev:
		return nil, nil
	}
	return certificates.TLSConfig(), nil
}
