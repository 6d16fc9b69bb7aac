package realtime_test

import (
	"net/http"
	"testing"
	"testing/synctest"

	"github.com/safe-go/safe/realtime"
)

// A connection counts until its proposals have ended, so that a peer that connects
// again and again cannot have more of them in flight.
func TestAdmission_ProposalsInFlight(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var tokens callers
		tokens.issue("t", "ada", 0)
		ts := servePipes(t, &realtime.Options{Authenticate: tokens.authenticate, MaxConnectionsPerSubject: 1})
		function, unblock := blockingFunction("wait")
		ts.create("c", function)
		p := ts.dialToken("t")
		p.propose("c", "wait", `null`, "1")
		p.wantPong("read")
		p.conn.CloseNow()
		synctest.Wait()
		if total, _, subjects := ts.server.Counted(); total != 1 || subjects != 1 {
			t.Errorf("%d connections of %d subjects are counted while a proposal is in flight", total, subjects)
		}
		ts.wantStatus("t", http.StatusTooManyRequests)
		unblock()
		synctest.Wait()
		if total, _, subjects := ts.server.Counted(); total != 0 || subjects != 0 {
			t.Errorf("%d connections of %d subjects are counted in the end", total, subjects)
		}
	})
}
