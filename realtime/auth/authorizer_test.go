package auth_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"testing"

	"github.com/safe-go/safe/realtime"
	"github.com/safe-go/safe/realtime/auth"
	"github.com/safe-go/safe/sharedata"
)

func allows(authorizer auth.Authorizer, caller *sharedata.Caller, id string) bool {
	subscribe, propose := authorizer.Subscribe(context.Background(), caller, id), authorizer.Propose(context.Background(), caller, id, "f")
	for _, err := range []error{subscribe, propose} {
		if err != nil && !errors.Is(err, auth.ErrRefused) {
			panic(err)
		}
	}
	if (subscribe == nil) != (propose == nil) {
		panic("one hook allows, the other does not")
	}
	return subscribe == nil
}

func withChannels(channels string) *sharedata.Caller {
	return &sharedata.Caller{Claims: json.RawMessage(`{"channels":` + channels + `}`)}
}

func TestChannels(t *testing.T) {
	everything := auth.Channels(nil)
	nothing := auth.Channels(&auth.ChannelsOptions{DenyIfEmpty: true})
	for _, test := range []struct {
		caller              *sharedata.Caller
		id                  string
		everything, nothing bool // what the two authorizers allow
	}{
		{withChannels(`["chat:lobby","news"]`), "chat:lobby", true, true},
		{withChannels(`["chat:lobby","news"]`), "news", true, true},
		{withChannels(`["chat:lobby","news"]`), "chat:other", false, false},
		{withChannels(`["chat:lobby"]`), "chat:lobby2", false, false},
		{withChannels(`["chat:lobby"]`), "chat:lobb", false, false},
		{withChannels(`["chat:*"]`), "chat:lobby", true, true},
		{withChannels(`["chat:*"]`), "chat:", true, true},
		{withChannels(`["chat:*"]`), "chat", false, false},
		{withChannels(`["chat:*"]`), "news", false, false},
		{withChannels(`["ch*t"]`), "chat", false, false},
		{withChannels(`["*"]`), "anything", true, true},
		{withChannels(`["CHAT"]`), "chat", false, false},
		{withChannels(`[""]`), "chat", false, false},
		{withChannels(`[]`), "chat", true, false},
		{&sharedata.Caller{}, "chat", true, false},
		{&sharedata.Caller{Claims: json.RawMessage(`{"other":["chat"]}`)}, "chat", true, false},
		{withChannels(`"chat"`), "chat", false, false},
		{withChannels(`null`), "chat", false, false},
		{withChannels(`{"chat":true}`), "chat", false, false},
		{withChannels(`["chat",1]`), "chat", false, false},
		{withChannels(`["chat",null]`), "chat", false, false},
		{withChannels(`[["chat"]]`), "chat", false, false},
		{&sharedata.Caller{Claims: json.RawMessage(`["chat"]`)}, "chat", false, false},
		{nil, "chat", false, false},
	} {
		name := "nil"
		if test.caller != nil {
			name = string(test.caller.Claims)
		}
		if got := allows(everything, test.caller, test.id); got != test.everything {
			t.Errorf("%s, %s: %t", name, test.id, got)
		}
		if got := allows(nothing, test.caller, test.id); got != test.nothing {
			t.Errorf("%s, %s, empty is nothing: %t", name, test.id, got)
		}
	}
	rooms := auth.Channels(&auth.ChannelsOptions{Claim: "rooms"})
	if caller := (&sharedata.Caller{Claims: json.RawMessage(`{"rooms":["a"],"channels":["b"]}`)}); !allows(rooms, caller, "a") || allows(rooms, caller, "b") {
		t.Error("another claim")
	}
}

func TestForAudience(t *testing.T) {
	authorizer := auth.ForAudience("admin")
	for _, test := range []struct {
		caller *sharedata.Caller
		want   bool
	}{
		{&sharedata.Caller{Audience: []string{"SHAREDATA", "admin"}}, true}, {&sharedata.Caller{Audience: []string{"SHAREDATA"}}, false},
		{&sharedata.Caller{Audience: []string{"administrator"}}, false}, {&sharedata.Caller{}, false}, {nil, false},
	} {
		if got := allows(authorizer, test.caller, "id"); got != test.want {
			t.Errorf("%+v: %t", test.caller, got)
		}
	}
}

func TestHasClaim(t *testing.T) {
	admin, editor := auth.HasClaim("admin", true), auth.HasClaim("roles", "editor")
	for claims, want := range map[string][2]bool{
		`{"admin":true}`: {true, false}, `{"admin":false}`: {}, `{"admin":"true"}`: {}, `{"admin":1}`: {}, `{"admin":null}`: {}, `{"admin":[false,true]}`: {true, false},
		`{"admin":{"a":true}}`: {}, `{"roles":"editor"}`: {false, true}, `{"roles":["reader",1,{"x":[]},"editor"]}`: {false, true},
		`{"roles":["reader"]}`: {}, `{"roles":[["editor"]]}`: {}, `{"roles":{"editor":true}}`: {}, `{"Roles":"editor"}`: {}, `{}`: {}, `true`: {}, "": {},
	} {
		caller := &sharedata.Caller{}
		if claims != "" {
			caller.Claims = json.RawMessage(claims)
		}
		if got := [2]bool{allows(admin, caller, "id"), allows(editor, caller, "id")}; got != want {
			t.Errorf("%s: %v", claims, got)
		}
	}
	if allows(admin, nil, "id") || allows(auth.HasClaim("admin", false), nil, "id") {
		t.Error("a nil caller")
	}
	if allows(auth.HasClaim("admin", false), &sharedata.Caller{Claims: json.RawMessage(`{"admin":null}`)}, "id") {
		t.Error("null as false")
	}
}

func TestCombinators(t *testing.T) {
	var asked int
	yes := func(context.Context, *sharedata.Caller, auth.Request) error { asked++; return nil }
	no := func(context.Context, *sharedata.Caller, auth.Request) error {
		asked++
		return fmt.Errorf("%w: %w", auth.ErrRefused, &realtime.Refusal{Code: "no"})
	}
	expired := func(context.Context, *sharedata.Caller, auth.Request) error { asked++; return realtime.ErrExpired }
	for name, test := range map[string]struct {
		authorizer auth.Authorizer
		asked      int
		err        error
	}{
		"all of none":        {auth.AllOf(), 0, nil},
		"all of yes":         {auth.AllOf(yes, yes), 2, nil},
		"all, one no":        {auth.AllOf(yes, no, yes), 2, auth.ErrRefused},
		"all, nil":           {auth.AllOf(yes, nil), 1, auth.ErrRefused},
		"all, expired":       {auth.AllOf(yes, expired, no), 2, realtime.ErrExpired},
		"any of none":        {auth.AnyOf(), 0, auth.ErrRefused},
		"any, one yes":       {auth.AnyOf(no, yes, no), 2, nil},
		"any of no":          {auth.AnyOf(no, no), 2, auth.ErrRefused},
		"any, nil":           {auth.AnyOf(nil), 0, auth.ErrRefused},
		"any, expired first": {auth.AnyOf(no, expired, yes), 2, realtime.ErrExpired},
		"any, yes first":     {auth.AnyOf(yes, expired), 1, nil},
		"nested":             {auth.AnyOf(auth.AllOf(yes, no), auth.AllOf(yes, yes)), 4, nil},
	} {
		asked = 0
		err := test.authorizer.Propose(context.Background(), nil, "id", "f")
		if !errors.Is(err, test.err) || asked != test.asked {
			t.Errorf("%s: %v after %d; want %v after %d", name, err, asked, test.err, test.asked)
		}
	}
	var refusal *realtime.Refusal
	if err := auth.AnyOf(no).Subscribe(context.Background(), nil, "id"); !errors.As(err, &refusal) || refusal.Code != "no" {
		t.Errorf("the refusal of an authorizer is lost: %v", err)
	}
}

func TestAuthorizer_Request(t *testing.T) {
	var got auth.Request
	authorizer := auth.Authorizer(func(_ context.Context, _ *sharedata.Caller, r auth.Request) error { got = r; return nil })
	if err := authorizer.Subscribe(context.Background(), nil, "id"); err != nil || got != (auth.Request{ShareDataID: "id"}) {
		t.Errorf("%+v, %v", got, err)
	}
	if err := authorizer.Propose(context.Background(), nil, "id", "f"); err != nil || got != (auth.Request{ShareDataID: "id", FunctionID: "f"}) {
		t.Errorf("%+v, %v", got, err)
	}
}

func TestClaim(t *testing.T) {
	caller := &sharedata.Caller{Claims: json.RawMessage(`{"name":"Anna","level":3}`)}
	if name, found, err := auth.Claim[string](caller, "name"); name != "Anna" || !found || err != nil {
		t.Error(name, found, err)
	}
	if _, found, err := auth.Claim[string](caller, "Name"); found || err != nil {
		t.Error("another name", found, err)
	}
	if _, found, err := auth.Claim[string](caller, "level"); !found || err == nil {
		t.Error("another type", found, err)
	}
	if _, found, err := auth.Claim[string](nil, "name"); found || err != nil {
		t.Error("nil", found, err)
	}
	if _, _, err := auth.Claim[string](&sharedata.Caller{Claims: json.RawMessage(`[]`)}, "name"); err == nil {
		t.Error("no object")
	}
}
