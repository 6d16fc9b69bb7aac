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

// website has the static files of the domains, in a directory for each; the zero website has
// none.
type website struct {
	domains []string
	files   fs.FS
}

// openWebsite opens the directory of the static files. Symbolic links do not lead out of it.
func openWebsite(c config) (*website, error) {
	if c.wwwroot == "" {
		return &website{}, nil
	}
	root, err := os.OpenRoot(c.wwwroot) // until the process ends
	if err != nil {
		return nil, err
	}
	return &website{c.domains, root.FS()}, nil
}

// ServeHTTP serves a file of the domain that is asked for. Directories are not listed.
func (site *website) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	host := url.URL{Host: strings.ToLower(r.Host)}
	files, err := fs.Sub(site.files, host.Hostname())
	found := err == nil && slices.Contains(site.domains, host.Hostname())
	if found && strings.HasSuffix(r.URL.Path, "/") {
		_, err = fs.Stat(files, path.Join(".", path.Clean(r.URL.Path), "index.html"))
		found = err == nil
	}
	if !found {
		http.NotFound(w, r)
		return
	}
	http.FileServerFS(files).ServeHTTP(w, r)
}
