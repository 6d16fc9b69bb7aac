package client

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

func TestToken_EveryAttempt(t *testing.T) {
	for _, inQuery := range []bool{false, true} {
		t.Run(fmt.Sprintf("TokenInQuery=%v", inQuery), func(t *testing.T) {
			testWithFake(t, func(t *testing.T, f *fake) {
				asked := 0
				header := http.Header{"X-App": {"demo"}}
				c, err := Dial(context.Background(), "ws://fake/?a=b", f.options(&Options{
					Header:       header,
					TokenInQuery: inQuery,
					Token: func(context.Context) (string, error) {
						asked++
						return fmt.Sprintf("tok&en%d", asked), nil
					}}))
				if err != nil {
					t.Fatal(err)
				}
				defer c.Close()
				f.accept().cut()
				f.accept()
				for i, r := range f.attempts() {
					token := fmt.Sprintf("tok&en%d", i+1)
					wantHeader, wantQuery := "Bearer "+token, ""
					if inQuery {
						wantHeader, wantQuery = "", token
					}
					if got := r.Header.Get("Authorization"); got != wantHeader {
						t.Errorf("attempt %d: Authorization %q, want %q", i, got, wantHeader)
					}
					if got := r.URL.Query().Get("token"); got != wantQuery {
						t.Errorf("attempt %d: token %q, want %q", i, got, wantQuery)
					}
					if r.Header.Get("X-App") != "demo" || r.URL.Query().Get("a") != "b" {
						t.Errorf("attempt %d: the user's header or query is gone: %v %v", i, r.Header, r.URL)
					}
				}
			})
		})
	}
}

func TestToken_NotInErrors(t *testing.T) {
	testWithFake(t, func(t *testing.T, f *fake) {
		options := f.options(&Options{TokenInQuery: true, Token: func(context.Context) (string, error) { return "secret", nil }})
		for name, set := range map[string]func(f *fake){
			"down":    func(f *fake) { f.down = true },
			"refused": func(f *fake) { f.down, f.refuse = false, 500 },
			"hanging": func(f *fake) { f.refuse, f.hang = 0, true },
		} {
			f.set(set)
			_, err := Dial(context.Background(), "ws://fake", options)
			if err == nil || strings.Contains(err.Error(), "secret") {
				t.Errorf("%s: error %v", name, err)
			}
		}
	})
	// A redirect repeats the query, to another server and to an address that cannot be
	// parsed.
	referers := make(chan string, 10)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		referers <- r.Header.Get("Referer")
		w.Header().Set("Location", map[string]string{"/": "/next?", "/next": "http://%zz/?"}[r.URL.Path]+r.URL.RawQuery)
		w.WriteHeader(http.StatusTemporaryRedirect)
	}))
	defer server.Close()
	for _, path := range []string{"/", "/next"} {
		_, err := Dial(context.Background(), server.URL+path, &Options{HTTPClient: server.Client(), TokenInQuery: true,
			Token: StaticToken("se&cret")})
		if err == nil || strings.Contains(err.Error(), "cret") {
			t.Errorf("error %v", err)
		}
	}
	close(referers)
	for referer := range referers {
		if referer != "" {
			t.Errorf("referer %q", referer)
		}
	}
	if _, err := New("ws://user:secret@host:port", nil); err == nil || strings.Contains(err.Error(), "secret") {
		t.Errorf("error %v", err)
	}
}

func TestToken_NotInLogs(t *testing.T) {
	testWithFake(t, func(t *testing.T, f *fake) {
		var logged strings.Builder
		s := source{answer: func(_ context.Context, call int) (string, error) {
			if call == 5 {
				return "", Permanent(errors.New("revoked"))
			}
			return fmt.Sprint("secret", call), nil
		}}
		c, p := f.connectExpiring(time.Hour, Options{
			Token: s.token, TokenInQuery: true,
			Logger: slog.New(slog.NewJSONHandler(&logged, &slog.HandlerOptions{Level: slog.LevelDebug})),
		})
		p.send(authenticated(p.expectAuthenticate(time.Hour, "secret2"), time.Hour))
		p.send(invalidToken(p.expectAuthenticate(time.Hour, "secret3")))
		p.expectAuthenticate(time.Hour, "secret4") // unanswered
		time.Sleep(30 * time.Minute)
		f.set(func(f *fake) { f.refuse = 401 })
		p.close(4002, "expired")
		time.Sleep(time.Minute)
		c.Close()
		if text := logged.String(); strings.Contains(text, "secret") || strings.Count(text, "renew") < 4 {
			t.Errorf("logged %s", text)
		}
	})
}

func TestUnauthorized(t *testing.T) {
	testWithFake(t, func(t *testing.T, f *fake) {
		token := "old"
		var used []string
		_, p := f.connect(&Options{Token: func(context.Context) (string, error) { used = append(used, token); return token, nil }})
		token = "new"
		p.close(4002, "expired")
		f.accept()
		if got := fmt.Sprint(used); got != "[old new]" {
			t.Errorf("tokens used: %v", got)
		}
	})
	for name, end := range map[string]func(f *fake, p *peer){
		"4002": func(f *fake, p *peer) { p.close(4002, "expired") },
		"401":  func(f *fake, p *peer) { f.set(func(f *fake) { f.refuse = 401 }); p.cut() },
	} {
		t.Run(name, func(t *testing.T) {
			testWithFake(t, func(t *testing.T, f *fake) {
				c, p := f.connect(nil)
				s := follow(t, c.Subscribe("x"))
				outcome := propose(t, c, proposalOf("x"))
				end(f, p)
				err := s.expectError(ErrUnauthorized)
				if !errors.Is(err, ErrClosed) {
					t.Errorf("error %v, want ErrClosed in it", err)
				}
				if got := <-outcome; !errors.Is(got.err, ErrUnauthorized) {
					t.Errorf("propose: %v", got.err)
				}
				if got := c.Status(); got.State != Closed || !errors.Is(got.Err, ErrUnauthorized) {
					t.Errorf("status %+v", got)
				}
				if _, err := c.Ping(context.Background()); !errors.Is(err, ErrUnauthorized) {
					t.Errorf("ping: %v", err)
				}
				follow(t, c.Subscribe("y")).expectError(ErrUnauthorized)
			})
		})
	}
}

// tokenStops checks that the client stopped for good, and why, everywhere.
func tokenStops(t *testing.T, c *Client, s *events, outcome <-chan proposed, want error) {
	t.Helper()
	if err := s.expectError(want); !errors.Is(err, ErrClosed) {
		t.Errorf("subscription: %v, want ErrClosed in it", err)
	}
	_, pinged := c.Ping(context.Background())
	for name, err := range map[string]error{"propose": (<-outcome).err, "ping": pinged, "status": c.Status().Err} {
		if !errors.Is(err, want) || !errors.Is(err, ErrClosed) || errors.Is(err, ErrOutcomeUnknown) {
			t.Errorf("%s: %v, want %v and ErrClosed", name, err, want)
		}
	}
}

func TestStaticToken_Rejected(t *testing.T) {
	for name, reject := range map[string]func(f *fake, p *peer){
		"4002": func(f *fake, p *peer) { p.close(4002, "expired") },
		"401":  func(f *fake, p *peer) { f.set(func(f *fake) { f.refuse = 401 }); p.cut() },
	} {
		t.Run(name, func(t *testing.T) {
			testWithFake(t, func(t *testing.T, f *fake) {
				c, p := f.connect(&Options{Token: StaticToken("mine")})
				if got := f.attempts()[0].Header.Get("Authorization"); got != "Bearer mine" {
					t.Errorf("sent %q", got)
				}
				s := follow(t, c.Subscribe("x"))
				p.expect(subscribeTo("x", ""))
				reject(f, p)
				<-p.ended
				synctest.Wait()
				tokenStops(t, c, s, propose(t, c, proposalOf("x")), ErrUnauthorized)
			})
		})
	}
}

// Any failure but a rejection leaves a static token in use.
func TestStaticToken_OtherFailures(t *testing.T) {
	testWithFake(t, func(t *testing.T, f *fake) {
		f.set(func(f *fake) { f.refuse = 503 })
		c := f.start(&Options{Token: StaticToken("mine")})
		time.Sleep(time.Minute)
		f.set(func(f *fake) { f.refuse = 0 })
		f.accept().close(1011, "restart")
		f.accept()
		synctest.Wait()
		if got := c.Status().State; got != Open {
			t.Errorf("%v", got)
		}
	})
}

func TestToken_Permanent(t *testing.T) {
	errRevoked := errors.New("revoked")
	testWithFake(t, func(t *testing.T, f *fake) {
		var failure error
		c, p := f.connect(&Options{Token: func(context.Context) (string, error) {
			f.mu.Lock()
			defer f.mu.Unlock()
			return "t", failure
		}})
		s := follow(t, c.Subscribe("x"))
		p.expect(subscribeTo("x", ""))
		f.set(func(*fake) { failure = errors.New("try again") })
		p.cut()
		time.Sleep(time.Minute)
		outcome := propose(t, c, proposalOf("x"))
		if got := c.Status().State; got != Reconnecting {
			t.Fatalf("%v", got)
		}
		f.set(func(*fake) { failure = Permanent(errRevoked) })
		tokenStops(t, c, s, outcome, errRevoked)
	})
	if Permanent(nil) != nil {
		t.Error("no error became one")
	}
}

// A source that returns a rejected token again is asked again: the token that it
// returns later is not lost. Until then, calls say why there is no connection.
func TestToken_RejectedThenRenewed(t *testing.T) {
	testWithFake(t, func(t *testing.T, f *fake) {
		token := "cached"
		var rejected []string
		f.set(func(f *fake) { f.refuse = 401 })
		c := f.start(&Options{RequestTimeout: time.Minute, Token: func(ctx context.Context) (string, error) {
			last, ok := RejectedToken(ctx)
			f.mu.Lock()
			defer f.mu.Unlock()
			rejected = append(rejected, fmt.Sprint(last, ok))
			return token, nil
		}})
		_, err := c.Propose(context.Background(), "x", "add", 1)
		var refused *ConnectError
		if !errors.Is(err, ErrTimeout) || !errors.Is(err, ErrUnauthorized) || !errors.As(err, &refused) || !strings.Contains(err.Error(), "401") {
			t.Errorf("error %v, want one that says never sent because of the 401", err)
		}
		f.set(func(f *fake) { token, f.refuse = "new", 0 })
		f.accept().cut()
		f.accept()
		if first, last := fmt.Sprint(rejected[:2]), rejected[len(rejected)-1]; first != "[false cachedtrue]" || last != "false" {
			t.Errorf("rejected tokens: %q", rejected)
		}
	})
}

func TestRejectedToken(t *testing.T) {
	testWithFake(t, func(t *testing.T, f *fake) {
		var seen []string
		script := []struct {
			token  string
			refuse int
			down   bool
		}{{"a", 401, false}, {"b", 0, true}, {"b", 401, false}, {"b", 0, false}, {"b", 0, false}}
		f.start(&Options{Token: func(ctx context.Context) (string, error) {
			if rejected, ok := RejectedToken(ctx); ok {
				seen = append(seen, rejected)
			} else {
				seen = append(seen, "-")
			}
			now := script[len(seen)-1]
			f.set(func(f *fake) { f.refuse, f.down = now.refuse, now.down })
			return now.token, nil
		}})
		f.accept().cut() // It was accepted the second time.
		f.accept()
		if got, want := strings.Join(seen, " "), "- a - b -"; got != want {
			t.Errorf("got %s, want %s", got, want)
		}
	})
}
