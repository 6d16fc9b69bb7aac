package main

import (
	"crypto/tls"
	"io/fs"
	"net"
	"net/http"
	"os"
	"path"
	"slices"
	"strings"

	"golang.org/x/crypto/acme"
	"golang.org/x/crypto/acme/autocert"
)

// newCertificates returns what gets certificates for the domains by ACME.
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

// website has the static files of the domains, in a directory for each.
type website struct {
	domains []string
	root    *os.Root // outside of which nothing is served; nil for no files
}

// ServeHTTP serves a file of the domain that is asked for. Directories are not listed.
func (site *website) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	host := strings.ToLower(r.Host)
	if name, _, err := net.SplitHostPort(host); err == nil {
		host = name
	}
	if site.root == nil || !slices.Contains(site.domains, host) {
		http.NotFound(w, r)
		return
	}
	if strings.HasSuffix(r.URL.Path, "/") {
		if _, err := site.root.Stat(path.Join(host, path.Clean(r.URL.Path), "index.html")); err != nil {
			http.NotFound(w, r)
			return
		}
	}
	files, err := fs.Sub(site.root.FS(), host)
	if err != nil {
		http.NotFound(w, r)
		return
	}
	http.FileServerFS(files).ServeHTTP(w, r)
}
