package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"sync"
	"text/tabwriter"
	"time"
)

// report is what a run found. README.md says what each number means.
type report struct {
	Subscribers  int     `json:"subscribers"`
	Subscribed   int     `json:"subscribed"`
	Disconnected int     `json:"disconnected"`
	Seconds      float64 `json:"seconds"`

	Transactions          int64   `json:"transactions"`
	TransactionsPerSecond float64 `json:"transactionsPerSecond"`
	Deliveries            int64   `json:"deliveries"`
	DeliveriesPerSecond   float64 `json:"deliveriesPerSecond"`
	ResultMicros          latency `json:"resultMicros"`
	DeliveryMicros        latency `json:"deliveryMicros"`
	violations
	Gaps       int64            `json:"gaps"`
	Reconnects int64            `json:"reconnects"`
	Errors     map[string]int64 `json:"errors"`

	examples string // of errors
}

// complete adds what is known once the subscribers have ended.
func (r *run) complete(out *report) {
	out.Subscribers = len(r.subscribers)
	out.TransactionsPerSecond = float64(out.Transactions) / out.Seconds
	out.DeliveriesPerSecond = float64(out.Deliveries) / out.Seconds
	out.ResultMicros, out.DeliveryMicros = r.results.summary(), r.deliveries.summary()
	for _, s := range r.subscribers {
		out.violations.add(s.sequence.violations)
		out.Gaps += s.sequence.gaps
	}
	out.Reconnects = r.reconnects.Load()
	out.Errors, out.examples = r.errors.all(), r.errors.String()
}

// broken reports whether a promise was broken.
func (p *report) broken() bool { return p.violations != (violations{}) }

func (p *report) table(w io.Writer) {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintf(t, "subscribed\t%d of %d\t%d disconnected at the end\t\n", p.Subscribed, p.Subscribers, p.Disconnected)
	fmt.Fprintf(t, "transactions\t%d\t%.0f/s\t\n", p.Transactions, p.TransactionsPerSecond)
	fmt.Fprintf(t, "deliveries\t%d\t%.0f/s\t\n", p.Deliveries, p.DeliveriesPerSecond)
	fmt.Fprintf(t, "lost\t%d\t\t\nrepeated\t%d\t\t\nreordered\t%d\t\t\n", p.Lost, p.Repeated, p.Reordered)
	fmt.Fprintf(t, "gaps\t%d\t\t\nreconnects\t%d\t\t\n", p.Gaps, p.Reconnects)
	t.Flush()
	t = tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintf(t, "\nmilliseconds\tp50\tp90\tp99\tmax\tcount\t\n")
	for _, row := range []struct {
		name string
		latency
	}{{"propose to result", p.ResultMicros}, {"propose to delivery", p.DeliveryMicros}} {
		ms := func(micros int64) float64 { return float64(micros) / 1000 }
		fmt.Fprintf(t, "%s\t%.2f\t%.2f\t%.2f\t%.2f\t%d\t\n", row.name, ms(row.P50), ms(row.P90), ms(row.P99), ms(row.Max), row.Count)
	}
	t.Flush()
	if p.examples != "" {
		fmt.Fprintf(w, "\nerrors:\n%s", p.examples)
	}
}

// showProgress writes a line each second until ctx ends.
func (r *run) showProgress(ctx context.Context, w io.Writer) {
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	var transactions, deliveries int64
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		nowTransactions, nowDeliveries := r.transactions.Load(), r.delivered()
		fmt.Fprintf(w, "%4.0fs  subscribed %d/%d  transactions %d/s  deliveries %d/s  reconnects %d  errors %d\n",
			time.Since(r.started).Seconds(), r.subscribed(), len(r.subscribers),
			nowTransactions-transactions, nowDeliveries-deliveries, r.reconnects.Load(), r.errors.total())
		transactions, deliveries = nowTransactions, nowDeliveries
	}
}

// errorCounts counts errors by code and keeps the first of each.
type errorCounts struct {
	mu     sync.Mutex
	counts map[string]int64
	firsts map[string]error
}

func (e *errorCounts) add(err error) {
	code := "connection" // cut, by whatever cause
	var failed *failure
	if errors.As(err, &failed) {
		code = failed.code
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.counts[code]++; e.counts[code] == 1 {
		e.firsts[code] = err
	}
}

func (e *errorCounts) all() map[string]int64 {
	e.mu.Lock()
	defer e.mu.Unlock()
	return maps.Clone(e.counts)
}

func (e *errorCounts) total() (sum int64) {
	for _, count := range e.all() {
		sum += count
	}
	return sum
}

// String has a line for each code, with an example.
func (e *errorCounts) String() string {
	e.mu.Lock()
	defer e.mu.Unlock()
	var lines strings.Builder
	for _, code := range slices.Sorted(maps.Keys(e.counts)) {
		fmt.Fprintf(&lines, "  %d × %v\n", e.counts[code], e.firsts[code])
	}
	return lines.String()
}
