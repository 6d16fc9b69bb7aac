package auth_test

import (
	"context"
	"io"
	"log"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/coder/websocket"

	"github.com/safe-go/safe/internal/testlog"
	"github.com/safe-go/safe/realtime"
	"github.com/safe-go/safe/realtime/auth"
	"github.com/safe-go/safe/sharedata"
)

// TestServer_LogsNoToken sends good and bad tokens in every place to a server that logs all it
// can, and has the client make every kind of request.
func TestServer_LogsNoToken(t *testing.T) {
	f := newFixture(t, &auth.Options{Cookie: "session"})
	var logged testlog.Buffer
	manager := must(sharedata.NewManager(nil))
	defer manager.Close()
	must(manager.Create(context.Background(), "allowed", 1))
	channels := auth.Channels(nil)
	// Each connection has a server of its own: a server logs one refusal a second.
	start := func() (url string, stop func()) {
		server := must(realtime.NewServer(manager, &realtime.Options{
			Authenticate: f.authenticator.Authenticate, AuthorizeSubscribe: channels.Subscribe, AuthorizePropose: channels.Propose,
			Logger: slog.New(slog.NewTextHandler(&logged, &slog.HandlerOptions{Level: slog.LevelDebug})),
		}))
		listening := httptest.NewUnstartedServer(server)
		listening.Config.ErrorLog = log.New(&logged, "", 0)
		listening.Start()
		return listening.URL, func() {
			server.Close()
			listening.Close()
		}
	}

	good := f.withClaims("channels", `["allowed"]`)
	tokens := map[string]string{
		"good": good, "expired": f.withClaims("exp", at(-60)), "forged": good[:len(good)-20] + strings.Repeat("A", 20), "malformed": good + "!",
		"unknown key": f.signed("EdDSA", "removed", claims()), "unknown issuer": f.withClaims("iss", `"https://evil.example"`), "secret": "a-long-opaque-secret-token",
	}
	for name, token := range tokens {
		for place, request := range map[string]func() (string, http.Header){
			"header": func() (string, http.Header) { return "", http.Header{"Authorization": {"Bearer " + token}} },
			"query":  func() (string, http.Header) { return "?token=" + token, nil },
			"cookie": func() (string, http.Header) { return "", http.Header{"Cookie": {"session=" + token}} },
		} {
			query, header := request()
			url, stop := start()
			t.Cleanup(stop)
			conn, response, err := websocket.Dial(context.Background(), url+"/realtime"+query, &websocket.DialOptions{HTTPHeader: header})
			if (err == nil) != (name == "good") {
				t.Errorf("%s in the %s: %v", name, place, err)
			}
			if err != nil {
				body, _ := io.ReadAll(response.Body)
				if response.StatusCode != http.StatusUnauthorized || strings.Contains(string(body), token) {
					t.Errorf("%s in the %s: %d, %q", name, place, response.StatusCode, body)
				}
				continue
			}
			for _, message := range []string{
				`{"v":1,"type":"subscribe","shareDataId":"allowed"}`, `{"v":1,"type":"subscribe","shareDataId":"forbidden"}`,
				`{"v":1,"type":"propose","shareDataId":"forbidden","functionId":"f","proposedData":{},"correlationId":"1"}`,
			} {
				_ = conn.Write(context.Background(), websocket.MessageText, []byte(message))
			}
			var frame []byte
			for err == nil {
				if _, frame, err = conn.Read(context.Background()); strings.Contains(string(frame), "proposal-result") {
					_ = conn.Write(context.Background(), websocket.MessageText, []byte("malformed"))
				}
			}
		}
	}
	text := logged.String()
	if strings.Count(text, "credentials refused") != 3*(len(tokens)-1) || strings.Count(text, "AuthorizeSubscribe refused") != 3 {
		t.Errorf("what was to be logged is not in the log:\n%s", text)
	}
	for name, token := range tokens {
		for _, part := range strings.Split(token, ".") {
			if strings.Contains(text, part) || strings.Contains(text, "token=") {
				t.Errorf("the log contains a part of the token %q:\n%s", name, text)
			}
		}
	}
}
