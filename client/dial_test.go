package client

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"
)

func TestDial_Open(t *testing.T) {
	testWithFake(t, func(t *testing.T, f *fake) {
		c, p := f.connect(nil)
		if got := c.Status(); got != (Status{State: Open}) {
			t.Errorf("status %+v", got)
		}
		p.quiet()
	})
}

func TestDial_Error(t *testing.T) {
	tests := []struct {
		name   string
		set    func(f *fake)
		token  func(context.Context) (string, error)
		want   error
		status int
		after  time.Duration
	}{
		{name: "no network", set: func(f *fake) { f.down = true }, want: errDown},
		{name: "401", set: func(f *fake) { f.refuse = 401 }, want: ErrUnauthorized, status: 401},
		{name: "404", set: func(f *fake) { f.refuse = 404 }, status: 404},
		{name: "not answered within ConnectTimeout", set: func(f *fake) { f.hang = true }, want: context.DeadlineExceeded, after: 7 * time.Second},
		{name: "no token", set: func(*fake) {}, token: func(context.Context) (string, error) { return "", errDown }, want: errDown},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			testWithFake(t, func(t *testing.T, f *fake) {
				f.set(test.set)
				start := time.Now()
				c, err := Dial(context.Background(), "ws://fake", f.options(&Options{Token: test.token, ConnectTimeout: 7 * time.Second}))
				if c != nil || err == nil {
					t.Fatal("connected")
				}
				var failed *ConnectError
				if !errors.As(err, &failed) || failed.Status != test.status {
					t.Errorf("error %v, want a ConnectError with status %d", err, test.status)
				}
				if test.want != nil && !errors.Is(err, test.want) {
					t.Errorf("error %v, want %v", err, test.want)
				}
				if got := time.Since(start); got != test.after {
					t.Errorf("after %v, want %v", got, test.after)
				}
			})
		})
	}
}

func TestDial_ContextEnds(t *testing.T) {
	testWithFake(t, func(t *testing.T, f *fake) {
		f.set(func(f *fake) { f.hang = true })
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		if _, err := Dial(ctx, "ws://fake", f.options(nil)); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("error %v, want the context's", err)
		}
	})
}

func TestDial_OutlivesContext(t *testing.T) {
	testWithFake(t, func(t *testing.T, f *fake) {
		ctx, cancel := context.WithCancel(context.Background())
		c, err := Dial(ctx, "ws://fake", f.options(nil))
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		p := f.accept()
		cancel()
		s := follow(t, c.Subscribe("x"))
		p.expect(subscribeTo("x", ""))
		p.send(snapshot("e", 1, 0))
		s.expect("state e-1")
		synctest.Wait()
		if got := c.Status().State; got != Open {
			t.Errorf("%v after the context ended", got)
		}
	})
}

func TestNew_Background(t *testing.T) {
	testWithFake(t, func(t *testing.T, f *fake) {
		f.set(func(f *fake) { f.down = true })
		c := f.start(nil)
		s := follow(t, c.Subscribe("x"))
		time.Sleep(time.Second)
		f.set(func(f *fake) { f.down = false })
		p := f.accept()
		p.expect(subscribeTo("x", ""))
		p.send(snapshot("e", 1, 0))
		s.expect("state e-1")
	})
}

func TestNew_InvalidURL(t *testing.T) {
	for _, address := range []string{"", "host", "ftp://host", "ws://", "ws:///path", "ws://host/#part", "ws://host:port", "ws://%zz", "://"} {
		t.Run(address, func(t *testing.T) {
			c, err := New(address, nil)
			if c != nil || !errors.Is(err, ErrInvalid) {
				t.Errorf("error %v, want ErrInvalid", err)
			}
		})
	}
}

func TestDial_Schemes(t *testing.T) {
	for _, address := range []string{"ws://fake/p?a=b", "http://fake/p?a=b"} {
		t.Run(address, func(t *testing.T) {
			testWithFake(t, func(t *testing.T, f *fake) {
				c, err := Dial(context.Background(), address, f.options(nil))
				if err != nil {
					t.Fatal(err)
				}
				defer c.Close()
				if got := f.attempts()[0].URL.String(); got != "/p?a=b" {
					t.Errorf("requested %q", got)
				}
			})
		})
	}
	for _, address := range []string{"wss://host", "https://host"} {
		if u, err := parseURL(address); err != nil || u.Host != "host" {
			t.Errorf("%s: %v, %v", address, u, err)
		}
	}
}
