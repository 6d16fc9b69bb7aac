package realtime_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/safe-go/safe/internal/wire"
	"github.com/safe-go/safe/realtime"
	"github.com/safe-go/safe/schemas/codes"
	"github.com/safe-go/safe/sharedata"
)

func TestActivity(t *testing.T) {
	ts := serve(t, &realtime.Options{
		Authenticate: authenticateAs(&sharedata.Caller{Subject: "ann", Issuer: "https://id.example"}),
		AuthorizeActivity: func(_ context.Context, _ *sharedata.Caller, id string) error {
			if id == "secret" {
				return errors.New("not this one")
			}
			return nil
		},
	})
	ts.create("c")
	ts.create("secret")
	p, plain := ts.dial(), ts.dial()
	p.send(`{"v":1,"type":"subscribe","shareDataId":"secret","activity":true}`)
	p.wantError(codes.UnauthorizedSubscribe, "secret")
	p.join("secret", "")
	since := plain.join("c", "").Cursor
	p.send(`{"v":1,"type":"subscribe","shareDataId":"c","activity":true}`)
	want[*wire.State](p)
	p.propose("c", "add", `{"by":-1}`, "1")
	live := want[*wire.Transaction](p)
	if got := want[*wire.Transaction](plain); got.Activity != nil {
		t.Errorf("who did not ask got %s", got.AppendTo(nil))
	}
	again := ts.dial()
	again.send(`{"v":1,"type":"subscribe","shareDataId":"c","activity":true,"since":"%s"}`, since)
	want[*wire.State](again)
	for _, m := range []*wire.Transaction{live, want[*wire.Transaction](again)} {
		var activity wire.Activity
		if err := json.Unmarshal(m.Activity, &activity); err != nil {
			t.Fatal(err)
		}
		if age := time.Since(activity.Time); age < 0 || age > time.Minute {
			t.Errorf("time %v", activity.Time)
		}
		activity.Time = time.Time{}
		if got, want := fmt.Sprintf("%s", activity), "{0001-01-01 00:00:00 +0000 UTC ann https://id.example {\"by\":-1} rejected the counter cannot go below zero }"; got != want {
			t.Errorf("got  %s\nwant %s", got, want)
		}
	}
}

func TestActivity_NoHook(t *testing.T) {
	ts := serve(t, nil)
	ts.create("c")
	p := ts.dial()
	p.send(`{"v":1,"type":"subscribe","shareDataId":"c","activity":true}`)
	p.wantError(codes.UnauthorizedSubscribe, "c")
	p.wantPong("the end")
}
