package main

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/safe-go/safe/internal/child"
)

// pebble is the ACME server of Let's Encrypt for tests. It is built from its own module,
// so that it is no dependency of this one.
const pebble = "github.com/letsencrypt/pebble/v2/cmd/"

const pebbleVersion = "@v2.10.1"

// freePort returns a port of the loopback that is free now. It is not one of those that the
// kernel gives to connections, so that other tests do not take it.
func freePort(t *testing.T) int {
	t.Helper()
	for range 100 {
		listener, err := net.Listen("tcp", fmt.Sprint("127.0.0.1:", 10_000+rand.N(20_000)))
		if err == nil {
			defer listener.Close()
			return listener.Addr().(*net.TCPAddr).Port
		}
	}
	t.Fatal("no port is free")
	return 0
}

// startPebble runs an ACME server that connects to a port to validate, and a name server
// for which every name is this machine. It returns the URL of the directory, the file of
// the certificate under which that is served, and the roots of what it issues.
func startPebble(t *testing.T, validatedPort int) (directory, ca string, roots *x509.CertPool) {
	t.Helper()
	folder := t.TempDir()
	install := exec.CommandContext(t.Context(), "go", "install", pebble+"pebble"+pebbleVersion, pebble+"pebble-challtestsrv"+pebbleVersion)
	install.Env = append(os.Environ(), "GOBIN="+folder, "GOFLAGS=")
	if output, err := install.CombinedOutput(); err != nil {
		if os.Getenv("SAFE_REQUIRE_PEBBLE") == "1" {
			t.Fatalf("SAFE_REQUIRE_PEBBLE is set, but pebble cannot be built: %v\n%s", err, output)
		}
		t.Skipf("pebble cannot be built: %v\n%s", err, output)
	}
	cert, key, trusted := selfSigned(t, "localhost")
	names, listen, management := freePort(t), freePort(t), freePort(t)
	config, err := json.Marshal(map[string]any{"pebble": map[string]any{
		"listenAddress": fmt.Sprint("127.0.0.1:", listen), "managementListenAddress": fmt.Sprint("127.0.0.1:", management),
		"certificate": cert, "privateKey": key, "httpPort": 1, "tlsPort": validatedPort,
	}})
	if err != nil {
		t.Fatal(err)
	}
	for _, arguments := range [][]string{
		{"pebble-challtestsrv", "-defaultIPv6", "", "-defaultIPv4", "127.0.0.1", "-dnsserver", fmt.Sprint("127.0.0.1:", names), "-http01", "", "-https01", "", "-tlsalpn01", "", "-doh", "", "-management", fmt.Sprint("127.0.0.1:", freePort(t))},
		{"pebble", "-strict", "-config", write(t, string(config), folder, "config.json"), "-dnsserver", fmt.Sprint("127.0.0.1:", names)},
	} {
		command := exec.CommandContext(t.Context(), filepath.Join(folder, arguments[0]), arguments[1:]...)
		command.Env = append(os.Environ(), "PEBBLE_VA_NOSLEEP=1", "PEBBLE_WFE_NONCEREJECT=0")
		command.SysProcAttr = child.Attributes()
		command.Stdout, command.Stderr = t.Output(), t.Output()
		if err := command.Start(); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			command.Process.Kill()
			command.Wait()
		})
	}
	client := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: trusted}}}
	defer client.CloseIdleConnections()
	deadline := time.Now().Add(testTimeout)
	for { // until it listens
		response, err := client.Get(fmt.Sprintf("https://localhost:%d/roots/0", management))
		if err == nil {
			text, err := io.ReadAll(response.Body)
			response.Body.Close()
			if roots = x509.NewCertPool(); err != nil || !roots.AppendCertsFromPEM(text) {
				t.Fatalf("got %q and %v, want a root", text, err)
			}
			return fmt.Sprintf("https://localhost:%d/dir", listen), cert, roots
		}
		if time.Now().After(deadline) {
			t.Fatal(err)
		}
	}
}

// Certificates for several domains are got from a real ACME server, and kept.
func TestACME_Domains(t *testing.T) {
	t.Parallel()
	port := freePort(t)
	directory, ca, roots := startPebble(t, port)
	root, cache := t.TempDir(), t.TempDir()
	write(t, "site a", root, "a.example.test", "index.html")
	write(t, "site b", root, "b.example.test", "index.html")
	arguments := []string{
		"--domains", "a.example.test", "--domains", "b.example.test", "--email", "admin@example.test", "--cache", cache, "--wwwroot", root,
		"--port", fmt.Sprint(port), "-acme", directory,
	}
	s, kill := startChild(t, []string{"SSL_CERT_FILE=" + ca, "RUST_LOG=debug"}, arguments...)
	url := fmt.Sprint("https://127.0.0.1:", port)
	for host, want := range map[string]string{"a.example.test": "site a", "b.example.test": "site b"} {
		if status, body, _ := get(t, url, host, "/", roots); status != 200 || body != want {
			t.Errorf("%s: got %d %q", host, status, body)
		}
	}
	var clients []*wsClient
	for _, domain := range []string{"a.example.test", "b.example.test"} {
		c := connectTLS(t, url, &tls.Config{RootCAs: roots, ServerName: domain})
		c.send(`{ "uid":"alice", "channel":"example" }`)
		clients = append(clients, c)
	}
	clients[0].send("Hello Bob!")
	clients[1].want("Hello Bob!")
	if conn, err := tls.Dial("tcp", strings.TrimPrefix(url, "https://"), &tls.Config{RootCAs: roots, ServerName: "c.example.test"}); err == nil {
		conn.Close()
		t.Error("there is a certificate for another domain")
	}
	kill()
	if s.url != fmt.Sprint("https://a.example.test:", port) {
		t.Errorf("it listens on %s", s.url)
	}
	// From the cache, without the ACME server.
	arguments[len(arguments)-1] = "https://127.0.0.1:1/none"
	startChild(t, nil, arguments...)
	if status, body, _ := get(t, url, "b.example.test", "/", roots); status != 200 || body != "site b" {
		t.Errorf("after a restart: got %d %q", status, body)
	}
}
