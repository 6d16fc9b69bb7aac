package main

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"
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
		{"/users", `{"username":"x","password":"","collection_id":"` + collection + `"}`, 400},
		{"/users", `{"username":"x","password":"` + strings.Repeat("x", 73) + `","collection_id":"` + collection + `"}`, 400},
		{"/users", `{"username":"x","password":"p"}`, 400},
		{"/users", `{"username":"x","password":"p","collection_id":"3ca76743"}`, 400},
		{"/login", `{`, 400},
		{"/login", `{"username":"rust22"}`, 400},
		{"/login", `{"password":"rust"}`, 400},
		{"/login", `{"username":"rust22","password":"wrong"}`, 401},
		{"/login", `{"username":"nobody","password":"rust"}`, 401},
		{"/insert", `null`, 400},
		{"/insert", insert(strings.Join([]string{c, ts, d}, ",")), 400},
		{"/insert", insert(strings.Join([]string{`"event":""`, c, ts, d}, ",")), 400},
		{"/insert", insert(strings.Join([]string{`"event":"a\nid: 1"`, c, ts, d}, ",")), 400},
		{"/insert", insert(strings.Join([]string{e, ts, d}, ",")), 400},
		{"/insert", insert(strings.Join([]string{e, `"collection_id":"x"`, ts, d}, ",")), 400},
		{"/insert", insert(strings.Join([]string{e, c, d}, ",")), 400},
		{"/insert", insert(strings.Join([]string{e, c, `"timestamp":1.5`, d}, ",")), 400},
		{"/insert", insert(strings.Join([]string{e, c, `"timestamp":"1"`, d}, ",")), 400},
		{"/insert", insert(strings.Join([]string{e, c, `"timestamp":9223372036854775807`, d}, ",")), 400},
		{"/insert", insert(strings.Join([]string{e, c, ts}, ",")), 400},
		{"/insert", insert(strings.Join([]string{e, c, ts, `"data":"` + "\xff" + `"`}, ",")), 400},
		{"/insert", insert(strings.Join([]string{e, c, ts, `"data":` + strings.Repeat("[", 2000) + strings.Repeat("]", 2000)}, ",")), 400},
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
	var response struct{ Events []event }
	if s.want(&response, "GET", "/events/user", ""); len(response.Events) != 0 {
		t.Errorf("inserted were %v", response.Events)
	}
	s.insert("e", time.Unix(-1<<40, 0), "1")
	s.events("").wantEvents("e 1")
}

// Events that make the latest ones of all names too large are refused; others go on.
func TestInsert_LatestFull(t *testing.T) {
	t.Parallel()
	s := start(t, nil)
	s.join()
	insert := func(name string, timestamp int64, bytes int) (status int, response string) {
		return s.do("POST", "/insert", fmt.Sprintf(`{"event":%q,"collection_id":%q,"timestamp":%d,"data":%q}`,
			name, collection, timestamp, strings.Repeat("x", bytes)))
	}
	const want, bytes = 17, maxLatestBytes/17 - 300 // which is for the other fields
	names := 0
	for ; ; names++ {
		status, response := insert(fmt.Sprint("e", names), 1, bytes)
		if status == 507 && strings.HasPrefix(response, `{"error":"`) {
			break
		}
		if status != 200 {
			t.Fatalf("got %d %s", status, response)
		}
	}
	if names != want {
		t.Errorf("there are %d names", names)
	}
	for _, c := range []struct {
		name      string
		timestamp int64
		bytes     int
		status    int
	}{
		{"e0", 1, bytes, 200}, {"e0", 1, bytes + 5000, 507}, {"later", time.Now().Unix() + 3600, bytes, 507},
		{"e0", 1, 1, 200}, {"new", 1, bytes - 5000, 200},
	} {
		if status, response := insert(c.name, c.timestamp, c.bytes); status != c.status {
			t.Errorf("%s with %d bytes: got %d %.200s, want %d", c.name, c.bytes, status, response, c.status)
		}
	}
	var response struct{ Events []event }
	if s.want(&response, "GET", "/events/user", ""); len(response.Events) != names+3 {
		t.Errorf("%d events are kept", len(response.Events))
	}
}

// A token is needed, and is good for -expiry seconds.
func TestAuthentication(t *testing.T) {
	t.Parallel()
	s := start(t, func(c *config) { c.expiry = 1 })
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
	for {
		status, _ := s.do("GET", "/events/user", "")
		if status == 401 {
			break
		} else if status != 200 {
			t.Fatalf("got %d", status)
		}
		<-time.After(100 * time.Millisecond)
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
	s.join() // two attempts
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
		if _, body := s.do("GET", path, ""); strings.Contains(body, "hash") || strings.Contains(body, "$2a$") || strings.Contains(body, "password") {
			t.Errorf("%s: got %s", path, body)
		}
	}
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
	if _, err := parse([]string{"-origin", "http://localhost:3000", "-secret", "s"}, "", io.Discard); err == nil || !strings.Contains(err.Error(), "SAVE_PATH") {
		t.Errorf("without SAVE_PATH: %v", err)
	}
}
