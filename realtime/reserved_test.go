package realtime_test

import (
	"testing"

	"github.com/safe-go/safe/internal/wire"
	"github.com/safe-go/safe/realtime"
	"github.com/safe-go/safe/schemas/codes"
)

func TestReservedIDs_Unknown(t *testing.T) {
	ts := serve(t, nil)
	ts.create("$mine")
	if err := ts.server.Revoke(t.Context(), realtime.Revocation{Subject: "ada"}); err != nil {
		t.Fatal(err)
	}
	for _, id := range []string{realtime.RevocationsID, "$mine", "$"} {
		p := ts.dial()
		p.propose(id, "add", `{"by":1}`, "1")
		if result := want[*wire.ProposalResult](p); result.Code != codes.UnknownShareData {
			t.Errorf("propose to %q: %+v", id, result)
		}
		p.propose(id, "revoke", `{"subject":"bob","at":"2999-01-01T00:00:00Z"}`, "2")
		if result := want[*wire.ProposalResult](p); result.Code != codes.UnknownShareData {
			t.Errorf("propose to %q: %+v", id, result)
		}
		p.send(`{"v":1,"type":"subscribe","shareDataId":"%s","keepConnection":true}`, id)
		p.wantError(codes.UnknownShareData, id)
		p.subscribe(id, "")
		p.wantError(codes.UnknownShareData, id)
		p.wantClose(codes.CloseUnknownShareData)
	}
	if at := ts.cursor("$mine"); at.Revision != 1 {
		t.Errorf("changed over the wire, to %v", at)
	}
}
