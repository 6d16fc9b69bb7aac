package main

import (
	"io/fs"
	"net/http"
	"net/url"
	"os"
	"path"
	"slices"
	"strings"
)

// newWebsite returns a handler that serves the static files of the domains, which are in a
// directory for each. Symbolic links do not lead out of c.wwwroot, and directories are not listed.
func newWebsite(c config) (http.Handler, error) {
	if c.wwwroot == "" {
		return http.NotFoundHandler(), nil
	}
	root, err := os.OpenRoot(c.wwwroot) // until the process ends
	if err != nil {
		return nil, err
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		host := url.URL{Host: strings.ToLower(r.Host)}
		files, err := fs.Sub(root.FS(), host.Hostname())
		if err == nil && strings.HasSuffix(r.URL.Path, "/") {
			_, err = fs.Stat(files, path.Join(".", path.Clean(r.URL.Path), "index.html"))
		}
		if err != nil || !slices.Contains(c.domains, host.Hostname()) {
			http.NotFound(w, r)
			return
		}
		http.FileServerFS(files).ServeHTTP(w, r)
	}), nil
}
