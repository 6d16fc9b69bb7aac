package js_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"

	"github.com/safe-go/safe/client/js"
)

// A server offers the module to its pages, which import it from "/safe.js".
func ExampleHandler() {
	mux := http.NewServeMux()
	mux.Handle("/safe.js", js.Handler())
	server := httptest.NewServer(mux)
	defer server.Close()

	response, err := http.Get(server.URL + "/safe.js")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer response.Body.Close()
	fmt.Println(response.Status, response.Header.Get("Content-Type"))
	// Output: 200 OK text/javascript; charset=utf-8
}
