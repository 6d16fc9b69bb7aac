package main

import (
	"bytes"
	"context"
	"image/png"
	"net/http/httptest"
	"os"
	"os/exec"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
)

// screenshot is the picture in the README. SAFE_SCREENSHOT=1 makes it again.
const screenshot = "board.png"

// browser returns the context of a headless Chromium, or skips the test.
func browser(t *testing.T) context.Context {
	t.Helper()
	path, err := exec.LookPath("chromium")
	if err != nil && os.Getenv("SAFE_REQUIRE_BROWSER") == "1" {
		t.Fatalf("SAFE_REQUIRE_BROWSER is set, but Chromium is not installed: %v", err)
	} else if err != nil {
		t.Skipf("Chromium is not installed: %v", err)
	}
	options := append(chromedp.DefaultExecAllocatorOptions[:], chromedp.ExecPath(path))
	if os.Geteuid() == 0 {
		options = append(options, chromedp.NoSandbox) // Chromium has none for root.
	}
	ctx, cancelTimeout := context.WithTimeout(context.Background(), time.Minute)
	ctx, cancelAllocator := chromedp.NewExecAllocator(ctx, options...)
	ctx, cancel := chromedp.NewContext(ctx)
	t.Cleanup(func() {
		chromedp.Cancel(ctx) // waits for the process
		cancel()
		cancelAllocator()
		cancelTimeout()
	})
	return ctx
}

// tab is a tab in which somebody uses the board.
type tab struct {
	t   *testing.T
	ctx context.Context
}

func (p tab) do(expression string) {
	p.t.Helper()
	if err := chromedp.Do(p.ctx, chromedp.Evaluate[chromedp.Void](expression)); err != nil {
		p.t.Fatalf("%s: %v", expression, err)
	}
}

func (p tab) await(expression string) {
	p.t.Helper()
	if _, err := chromedp.Run(p.ctx, chromedp.Poll[chromedp.Void](expression)); err != nil {
		p.t.Fatalf("%s: %v", expression, err)
	}
}

// add adds a card and waits until it is shown.
func (p tab) add(title string) {
	p.t.Helper()
	p.do(`document.querySelector("input").value = "` + title + `"; document.querySelector("form button").click()`)
	p.await(cardNamed(title))
}

func (p tab) click(title, button string) {
	p.t.Helper()
	p.do(cardNamed(title) + `.querySelector("button[title='` + button + `']").click()`)
}

func cardNamed(title string) string {
	return `[...document.querySelectorAll(".card")].find((card) => card.textContent.includes("` + title + `"))`
}

func cardIn(title, column string) string {
	return cardNamed(title) + `?.closest("section").dataset.column === "` + column + `"`
}

// Two people see each other's cards, and the code of what is rejected.
func TestBoard_TwoTabs(t *testing.T) {
	first := browser(t)
	service, err := newService(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(service.handler)
	t.Cleanup(func() {
		if err := service.close(); err != nil {
			t.Error(err)
		}
		server.Close()
	})
	second, cancel := chromedp.NewContext(first)
	defer cancel()
	ada, grace := tab{t, first}, tab{t, second}
	for name, p := range map[string]tab{"Ada": ada, "Grace": grace} {
		if err := chromedp.Do(p.ctx, chromedp.EmulateViewport(1200, 640), chromedp.Navigate(server.URL+"/?name="+name)); err != nil {
			t.Fatal(err)
		}
		p.await(`document.getElementById("status").textContent === "open websocket"`)
	}

	for _, title := range []string{"Read the history", "Draw the protocol"} {
		ada.add(title)
		grace.await(cardNamed(title))
	}
	for _, title := range []string{"Count the patches", "Cut the network"} {
		grace.add(title)
		ada.await(cardNamed(title))
	}
	for _, title := range []string{"Read the history", "Count the patches", "Draw the protocol"} {
		grace.click(title, "Move right")
		ada.await(cardIn(title, "doing"))
	}
	ada.click("Cut the network", "Move right")
	ada.await(`document.getElementById("toast").textContent.includes("column-full")`)
	grace.await(`document.getElementById("events").textContent.includes("column-full")`)
	ada.await(cardIn("Cut the network", "todo"))
	grace.click("Count the patches", "Move right")
	ada.await(cardIn("Count the patches", "done"))
	ada.await(`[...document.querySelectorAll("#people tr")].some((row) => row.innerText.replace(/\s+/g, " ") === "Grace 2 4 0")`)
	ada.await(`document.getAnimations().length === 0`)

	picture, err := chromedp.Run(ada.ctx, chromedp.CaptureScreenshot())
	if err != nil {
		t.Fatal(err)
	}
	size, err := png.DecodeConfig(bytes.NewReader(picture))
	if err != nil || size.Width != 1200 || size.Height != 640 {
		t.Errorf("the screenshot is %+v, %v; want a PNG of 1200 x 640", size, err)
	}
	if os.Getenv("SAFE_SCREENSHOT") == "1" {
		if err := os.WriteFile(screenshot, picture, 0o644); err != nil {
			t.Fatal(err)
		}
	}
}
