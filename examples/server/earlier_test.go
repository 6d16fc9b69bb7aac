package main

import (
	"compress/gzip"
	"fmt"
	"io"
	"iter"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/safe-go/safe/client"
	"github.com/safe-go/safe/sharedata/audit"
)

// earlierFile returns a copy of a file that this service wrote at the release before
// patches were recorded: "counter" went to 3 in two additions and rejected a third
// proposal, "doc" was replaced once and merged into twice.
func earlierFile(t *testing.T) string {
	t.Helper()
	packed, err := os.Open("testdata/earlier.db.gz")
	if err != nil {
		t.Fatal(err)
	}
	defer packed.Close()
	content, err := gzip.NewReader(packed)
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "earlier.db")
	file, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	if _, err := io.Copy(file, content); err != nil {
		t.Fatal(err)
	}
	return path
}

// A file of the release before goes on: states, cursors, replays and the audit. What its
// transactions changed is not recorded, so a resume over them brings the state.
func TestEarlierFile(t *testing.T) {
	path := earlierFile(t)
	for run := range 2 { // the second time, some of what is missed is recorded as patches
		t.Run(fmt.Sprint("run ", run), func(t *testing.T) { testEarlierFile(t, path, run) })
	}
}

func testEarlierFile(t *testing.T, path string, run int) {
	const second = "1882518561418929511-2"
	url := start(t, config{replay: 100, store: "bolt:" + path})
	c := dial(t, url, "")
	next, stop := iter.Pull2(c.SubscribeFrom("doc", second).Events(t.Context()))
	defer stop()
	missed := 2 + 2*run
	event, err, _ := next()
	state, ok := event.(*client.State)
	if err != nil || !ok || !state.Resumed || int(state.Replaying) != missed {
		t.Fatalf("%+v, %v", event, err)
	}
	if document, err := client.DecodeState[map[string]any](state); err != nil || document["text"] != strings.Repeat("x", 200) {
		t.Errorf("the state is %v, %v", document, err)
	}
	for _, title := range []string{"<one>", "two"} {
		result, err := c.Propose(t.Context(), "doc", "merge", map[string]any{"title": title, "run": run})
		if err != nil || !result.Accepted {
			t.Fatal(result, err)
		}
	}
	for n := range missed + 2 {
		event, err, _ := next()
		change, ok := event.(*client.Transaction)
		switch {
		case err != nil || !ok || change.Replayed != (n < missed):
			t.Fatalf("%+v, %v", event, err)
		case (change.Patch != nil) != (n >= 2):
			t.Errorf("change %d has the patch %s", n, change.Patch)
		case !change.Replayed && change.CurrentState == nil:
			t.Errorf("change %d has no state", n)
		}
	}
	response, err := http.Get(url + "/admin/history/doc")
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	if report, err := audit.Verify(response.Body, nil); err != nil || report.Entries != 6+2*run {
		t.Errorf("%+v, %v", report, err)
	}
	_, counter := request(t, "GET", url+"/admin/sharedata/counter", "", nil)
	if value := counter["state"].(map[string]any)["value"]; value != 3.0 || counter["revision"] != 4.0 {
		t.Errorf("the counter is %v", counter)
	}
}
