// Package js serves the browser client, the ES module safe.js, to pages. The module has
// no dependencies and needs no build step; safe.d.ts declares its types, and the folder
// is the npm package @safe-go/client.
//
//	http.Handle("/safe.js", js.Handler())
//
// A page then has:
//
//	<script type="module">
//	  import { connect } from "/safe.js";
//	  const client = connect("/realtime");
//	  for await (const event of client.subscribe("counter")) show(event.currentState);
//	</script>
//
// The module behaves as package client does: see there for what both promise, and
// safe.d.ts for the interface.
package js

import (
	"bytes"
	"crypto/sha256"
	_ "embed" // for safe.js
	"fmt"
	"net/http"
	"time"
)

//go:embed safe.js
var module []byte

// Handler returns a handler that serves the module at whatever path it is mounted. A
// browser asks each time whether its copy is still current (ETag), so that a page never
// runs the module of an earlier release of the server.
func Handler() http.Handler {
	tag := fmt.Sprintf(`"%x"`, sha256.Sum256(module))
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodGet && r.Method != http.MethodHead {
			w.Header().Set("Allow", "GET, HEAD")
			http.Error(w, "method not allowed", http.StatusMethodNotAllowed)
			return
		}
		header := w.Header()
		header.Set("Content-Type", "text/javascript; charset=utf-8")
		header.Set("X-Content-Type-Options", "nosniff")
		header.Set("Cache-Control", "no-cache")
		header.Set("ETag", tag)
		http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(module))
	})
}
