package main

import (
	"context"
	"encoding/base64"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"testing"
	"time"

	"golang.org/x/crypto/bcrypt"
)

// Bad input of every field gets an error, and everything goes on.
func TestBadInput(t *testing.T) {
	t.Parallel()
	s := start(t, func(c *config) { c.attempts = 1000 })
	s.join()
	insert := func(fields string) string { return `{` + fields + `}` }
	const e, c, ts, d = `"event":"e"`, `"collection_id":"` + collection + `"`, `"timestamp":1`, `"data":1`
	for _, bad := range []struct {
		path, body string
		status     int
	}{
		{"/users", ``, 400},
		{"/users", `[]`, 400},
		{"/users", `{"username":1,"password":"p","collection_id":"` + collection + `"}`, 400},
		{"/users", `{"username":"","password":"p","collection_id":"` + collection + `"}`, 400},
		{"/users", `{"username":"a\u0000","password":"p","collection_id":"` + collection + `"}`, 400},
		{"/users", `{"username":"` + strings.Repeat("x", 257) + `","password":"p","collection_id":"` + collection + `"}`, 400},
		{"/users", `{"username":"x","password":1,"collection_id":"` + collection + `"}`, 400},
		{"/users", `{"username":"x","password":"","collection_id":"` + collection + `"}`, 400},
		{"/users", `{"username":"x","password":"` + strings.Repeat("x", 73) + `","collection_id":"` + collection + `"}`, 400},
		{"/users", `{"username":"x","password":"p"}`, 400},
		{"/users", `{"username":"x","password":"p","collection_id":1}`, 400},
		{"/users", `{"username":"x","password":"p","collection_id":"3ca76743"}`, 400},
		{"/login", `{`, 400},
		{"/login", `{"username":"rust22"}`, 400},
		{"/login", `{"password":"rust"}`, 400},
		{"/login", `{"username":"rust22","password":"rust","timestamp":"x"}`, 400},
		{"/login", `{"username":"rust22","password":"wrong"}`, 401},
		{"/login", `{"username":"nobody","password":"rust"}`, 401},
		{"/insert", `null`, 400},
		{"/insert", insert(strings.Join([]string{c, ts, d}, ",")), 400},
		{"/insert", insert(strings.Join([]string{`"event":""`, c, ts, d}, ",")), 400},
		{"/insert", insert(strings.Join([]string{`"event":"a\nid: 1"`, c, ts, d}, ",")), 400},
		{"/insert", insert(strings.Join([]string{`"event":1`, c, ts, d}, ",")), 400},
		{"/insert", insert(strings.Join([]string{`"event":"broker-gap"`, c, ts, d}, ",")), 400},
		{"/insert", insert(strings.Join([]string{e, ts, d}, ",")), 400},
		{"/insert", insert(strings.Join([]string{e, `"collection_id":"x"`, ts, d}, ",")), 400},
		{"/insert", insert(strings.Join([]string{e, `"collection_id":1`, ts, d}, ",")), 400},
		{"/insert", insert(strings.Join([]string{e, c, d}, ",")), 400},
		{"/insert", insert(strings.Join([]string{e, c, `"timestamp":1.5`, d}, ",")), 400},
		{"/insert", insert(strings.Join([]string{e, c, `"timestamp":"1"`, d}, ",")), 400},
		{"/insert", insert(strings.Join([]string{e, c, `"timestamp":9223372036854775807`, d}, ",")), 400},
		{"/insert", insert(strings.Join([]string{e, c, ts}, ",")), 400},
		{"/insert", insert(strings.Join([]string{e, c, ts, `"data":"` + strings.Repeat("x", maxBodyBytes) + `"`}, ",")), 413},
	} {
		status, body := s.do("POST", bad.path, bad.body)
		if status != bad.status || !strings.HasPrefix(body, `{"error":"`) {
			t.Errorf("POST %s %.100q: got %d %s, want %d", bad.path, bad.body, status, body, bad.status)
		}
	}
	for path, want := range map[string]int{
		"/events/collections/123": 400, "/events/123/cancel": 404, "/events/a/b": 404, "/events/collections/cancel": 400, "/": 404, "/events/": 404, "/users": 405, "/insert": 405,
	} {
		if status, body := s.do("GET", path, ""); status != want {
			t.Errorf("GET %s: got %d %s, want %d", path, status, body, want)
		}
	}
	if events := s.want("GET", "/events/user", "").Events; len(events) != 0 {
		t.Errorf("inserted were %v", events)
	}
	s.insert("e", time.Unix(-1<<40, 0), "1")
	s.events("").wantEvents("e 1")
}

// Data that cannot be stored is refused, with an error about it; all other is published.
func TestInsert_Data(t *testing.T) {
	t.Parallel()
	s := start(t, nil)
	s.join()
	watcher := s.events("")
	nested := func(depth int) string { return strings.Repeat("[", depth) + strings.Repeat("]", depth) }
	for _, c := range []struct {
		data   string
		status int
	}{
		{nested(995), 200}, {nested(996), 200}, {nested(997), 400}, {nested(998), 400}, {nested(999), 400},
		{nested(1000), 400}, {nested(1001), 400}, {nested(20_000), 400}, {strings.Repeat(`{"a":`, 996) + "1" + strings.Repeat("}", 996), 200},
		{`{"a":1,"a":2}`, 400}, {`[{"a":1},{"a":2}]`, 200}, {"\"\xff\"", 400}, {`null`, 200},
	} {
		status, body := s.do("POST", "/insert", `{"event":"e","collection_id":"`+collection+`","timestamp":1,"data":`+c.data+`}`)
		if status != c.status || status == 400 && !strings.HasPrefix(body, `{"error":"`) {
			t.Errorf("%.30q of %d bytes: got %d %.200s, want %d", c.data, len(c.data), status, body, c.status)
		}
		if status == 200 {
			watcher.wantEvents("e " + c.data)
		}
	}
}

// A token is needed, and is good for -expiry seconds.
func TestAuthentication(t *testing.T) {
	t.Parallel()
	s := start(t, func(c *config) { c.expiry = 3 })
	for _, jwt := range []string{"", "nonsense", `{"iss":"broker","sub":"x"}`, "eyJhbGciOiJub25lIn0.eyJpc3MiOiJicm9rZXIiLCJzdWIiOiJ4In0."} {
		s.jwt = jwt
		for path, method := range map[string]string{
			"/insert": "POST", "/events/collections/123": "GET", "/events/user": "GET", "/events/123/cancel": "GET",
		} {
			if status, body := s.do(method, path, `{}`); status != 401 {
				t.Errorf("%s with the token %q: got %d %s", path, jwt, status, body)
			}
		}
	}
	s.jwt = ""
	s.join()
	s.want("GET", "/events/user", "")
	for status := 200; status != 401; <-time.After(100 * time.Millisecond) {
		if status, _ = s.do("GET", "/events/user", ""); status != 401 && status != 200 {
			t.Fatalf("got %d", status)
		}
	}
	other := start(t, nil) // another secret
	other.join()
	s.jwt = other.jwt
	if status, _ := s.do("GET", "/events/user", ""); status != 401 {
		t.Errorf("a token of another broker: got %d", status)
	}
}

// Passwords cannot be guessed fast, and no endpoint returns one or its hash.
func TestPasswords(t *testing.T) {
	s := start(t, func(c *config) { c.attempts = 8 })
	bodies := map[string]string{}
	for _, c := range []struct{ path, body string }{{"/users", ann}, {"/login", annLogin}} { // two attempts
		_, bodies[c.path] = s.do("POST", c.path, c.body)
	}
	s.jwt = strings.Split(bodies["/login"], `"`)[3]
	claims, err := base64.RawURLEncoding.DecodeString(strings.Split(s.jwt, ".")[1])
	if bodies["claims"] = string(claims); err != nil || !strings.Contains(bodies["claims"], "rust22") {
		t.Errorf("the claims are %s, %v", claims, err)
	}
	refused := 0
	for range 8 {
		if status, _ := s.do("POST", "/login", `{"username":"rust22","password":"wrong"}`); status == 429 {
			refused++
		} else if status != 401 {
			t.Errorf("got %d", status)
		}
	}
	if refused < 1 || refused > 3 {
		t.Errorf("%d of 8 attempts are refused", refused)
	}
	s.insert("e", time.Unix(1, 0), "1")
	for _, path := range []string{"/events/user", "/events/collections/" + collection, "/events/collections/$user%2Frust22", "/events/$user%2Frust22/cancel"} {
		_, bodies[path] = s.do("GET", path, "")
	}
	for path, body := range bodies {
		// In JSON, bytes are in base64: JDJhJ begins that of $2a$.
		for _, secret := range []string{"hash", "$2a$", "JDJhJ", "password"} {
			if strings.Contains(body, secret) {
				t.Errorf("%s: got %s", path, body)
			}
		}
	}
}

// What is stored of a password is a bcrypt hash of the default cost.
func TestPassword_Hash(t *testing.T) {
	inside(t, devConfig(t).bcryptCost, func(b *broker, s *service) {
		s.join()
		hash := stored(t, b).Hash
		if cost, err := bcrypt.Cost(hash); cost != bcrypt.DefaultCost || err != nil {
			t.Errorf("the cost is %d, %v", cost, err)
		}
		if err := bcrypt.CompareHashAndPassword(hash, []byte("rust")); err != nil {
			t.Error(err)
		}
	})
}

// Pages of -origin may connect, others may not.
func TestOrigin(t *testing.T) {
	s := start(t, nil)
	for origin, want := range map[string]int{"http://localhost:3000": 204, "http://localhost:3001": 403, "http://evil.example": 403} {
		if status, _ := s.do("OPTIONS", "/insert", "", "Origin", origin, "Access-Control-Request-Method", "POST"); status != want {
			t.Errorf("preflight from %s: got %d, want %d", origin, status, want)
		}
	}
	for _, path := range []string{"/events", "/users"} {
		if status, _ := s.do("GET", path, "", "Origin", "http://evil.example"); status != 403 {
			t.Errorf("%s: got %d", path, status)
		}
	}
	r, _ := http.NewRequest("GET", s.url+"/events", nil)
	r.Header.Set("Origin", "http://localhost:3000")
	response, err := s.http.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	if got := response.Header.Get("Access-Control-Allow-Origin"); response.StatusCode != 200 || got != "http://localhost:3000" {
		t.Errorf("got %s, %q", response.Status, got)
	}
}

func TestFlags(t *testing.T) {
	for args, want := range map[string]string{
		"-port 8080 -origin http://localhost:3000 -expiry 3600 -secret secret": "",
		"-dev": "",
		"-port 8080 -origin http://localhost:3000 -expiry 3600": "-secret",
		"-origin * -secret s":                       "-origin",
		"-origin http://*.example -secret s":        "-origin",
		"-origin http://localhost:3000/x -secret s": "-origin",
		"-secret s":      "-origin",
		"-dev -expiry 0": "-expiry",
		"-dev -port x":   "-port",
		"-dev rest":      "rest",
	} {
		c, err := parse(strings.Fields(args), "./tmp/broker_data", io.Discard)
		switch {
		case want == "" && (err != nil || c.store != "bolt:./tmp/broker_data"):
			t.Errorf("%s: %+v, %v", args, c, err)
		case want != "" && (err == nil || !strings.Contains(err.Error(), want)):
			t.Errorf("%s: %v, want an error about %s", args, err, want)
		}
	}
	c, err := parse(strings.Fields("-origin http://localhost:3000 -secret s"), "x", io.Discard)
	if err != nil || c.port != 8080 || c.expiry != 3600 || c.host != "" || c.dev {
		t.Errorf("the defaults are %+v, %v", c, err)
	}
	if _, err := parse(strings.Fields("-origin http://localhost:3000 -secret s"), "", io.Discard); err == nil || !strings.Contains(err.Error(), "SAVE_PATH") {
		t.Errorf("without SAVE_PATH: %v", err)
	}
}

// -dev prints commands to try, with the address on which it listens.
func TestDev_PrintsCommands(t *testing.T) {
	c := devConfig(t)
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	out, in := io.Pipe()
	go func() { in.CloseWithError(run(ctx, c, in, slog.New(slog.DiscardHandler))) }()
	url := address(t, out)
	stop()
	text, err := io.ReadAll(out)
	if err != nil || !strings.Contains(string(text), "\n  curl -N "+url+"/events\n") || strings.Contains(string(text), ":8080") {
		t.Errorf("at %s it prints %s, %v", url, text, err)
	}
}
