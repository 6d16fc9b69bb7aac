package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"io"
	"math/big"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// write writes a file below a folder.
func write(t *testing.T, content string, path ...string) string {
	t.Helper()
	name := filepath.Join(path...)
	err := os.MkdirAll(filepath.Dir(name), 0o700)
	if err == nil {
		err = os.WriteFile(name, []byte(content), 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
	return name
}

// selfSigned writes a certificate for names and its key, and returns their files.
func selfSigned(t *testing.T, names ...string) (cert, key string, roots *x509.CertPool) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: names[0]}, DNSNames: names, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), IsCA: true, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &private.PublicKey, private)
	if err != nil {
		t.Fatal(err)
	}
	encoded, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	block := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	folder := t.TempDir()
	cert = write(t, string(block), folder, "cert.pem")
	key = write(t, string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: encoded})), folder, "key.pem")
	roots = x509.NewCertPool()
	roots.AppendCertsFromPEM(block)
	return cert, key, roots
}

// get requests a path of a host from a server.
func get(t *testing.T, url, host, path string, roots *x509.CertPool) (status int, body, location string) {
	t.Helper()
	transport := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots, ServerName: host}, ForceAttemptHTTP2: true}
	defer transport.CloseIdleConnections()
	request, err := http.NewRequestWithContext(t.Context(), "GET", strings.Replace(url, "localhost", "127.0.0.1", 1), nil)
	if err != nil {
		t.Fatal(err)
	}
	request.Host = host
	request.URL.Path = path
	response, err := transport.RoundTrip(request)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return response.StatusCode, string(text), response.Header.Get("Location")
}

// Each domain has files of its own, and nothing else is served.
func TestStatic_Domains(t *testing.T) {
	root := t.TempDir()
	write(t, "site a", root, "a.example", "index.html")
	write(t, "script", root, "a.example", "js", "x.js")
	write(t, "site b", root, "b.example", "index.html")
	write(t, "secret", root, "c.example", "index.html")
	secret := write(t, "secret", t.TempDir(), "secret")
	if err := os.Symlink(secret, filepath.Join(root, "a.example", "link")); err != nil {
		t.Fatal(err)
	}
	s := start(t, "-d", "a.example", "-d", "b.example", "-w", root)
	url := "http://127.0.0.1:" + s.url[strings.LastIndex(s.url, ":")+1:]
	for _, c := range []struct {
		host, path string
		status     int
		body       string
	}{
		{"a.example", "/", 200, "site a"}, {"A.example:8443", "/", 200, "site a"}, {"b.example", "/", 200, "site b"},
		{"a.example", "/js/x.js", 200, "script"}, {"a.example", "/js/", 404, ""}, {"a.example", "/js", 301, ""}, {"a.example", "/none", 404, ""},
		{"c.example", "/", 404, ""}, {"..", "/c.example/index.html", 404, ""}, {"", "/", 404, ""},
		{"a.example", "/../c.example/index.html", 301, ""}, {"a.example", "/link", 500, ""}, {"a.example", "/../..//", 200, "site a"},
	} {
		status, body, _ := get(t, url, c.host, c.path, nil)
		if status != c.status || c.body != "" && body != c.body || strings.Contains(body, "secret") {
			t.Errorf("%s%s: got %d %q, want %d %q", c.host, c.path, status, body, c.status, c.body)
		}
	}
}

// Files and channels are served with a certificate from files, and peers connect to them.
func TestTLS_Files(t *testing.T) {
	root := t.TempDir()
	write(t, "site", root, "localhost", "index.html")
	cert, key, roots := selfSigned(t, "localhost")
	s := start(t, "-cert", cert, "-key", key, "-wwwroot", root)
	if !strings.HasPrefix(s.url, "https://") {
		t.Fatalf("it listens on %s", s.url)
	}
	if status, body, _ := get(t, s.url, "localhost", "/", roots); status != 200 || body != "site" {
		t.Errorf("got %d %q", status, body)
	}
	dial := func() *wsClient {
		c := connectTLS(t, s.url, &tls.Config{RootCAs: roots, ServerName: "localhost"})
		c.send(`{ "uid":"alice", "channel":"example" }`)
		return c
	}
	dial().send("Hello Bob!")
	bob := dial()
	bob.want("Hello Bob!")
	peer, _ := startChild(t, []string{"SSL_CERT_FILE=" + cert}, "-dev", "-port", "0", "-peer", "wss"+strings.TrimPrefix(s.url, "https"))
	carol := join(t, peer.url, "carol", "example")
	carol.want("Hello Bob!")
	exchange(bob, carol, "over TLS")
}

// Port 80 leads to HTTPS.
func TestRedirect(t *testing.T) {
	cert, key, _ := selfSigned(t, "localhost")
	s := start(t, "-cert", cert, "-key", key, "--redirect")
	status, _, location := get(t, s.redirect, "localhost", "/app.html", nil)
	if status != 302 || location != "https://localhost/app.html" {
		t.Errorf("got %d and %q", status, location)
	}
}
