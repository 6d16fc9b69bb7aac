package main

import (
	"math/bits"
	"sync/atomic"
)

// subBuckets is how many buckets each power of two has: they are about 3 % wide.
const subBuckets = 32

// histogram counts durations in microseconds, in buckets that grow with the duration
// (log-linear, as in HdrHistogram). Any number of goroutines may add to it.
type histogram struct {
	buckets [60 * subBuckets]atomic.Int64
	max     atomic.Int64
}

func (h *histogram) add(micros int64) {
	micros = max(micros, 0) // a clock of another process may be ahead
	h.buckets[bucketOf(micros)].Add(1)
	for {
		known := h.max.Load()
		if micros <= known || h.max.CompareAndSwap(known, micros) {
			return
		}
	}
}

// bucketOf gives the values below 2*subBuckets a bucket each.
func bucketOf(value int64) int {
	shift := max(bits.Len64(uint64(value))-6, 0)
	return shift*subBuckets + int(value>>shift)
}

// latency is the summary of a histogram, in microseconds.
type latency struct {
	Count int64 `json:"count"`
	P50   int64 `json:"p50"`
	P90   int64 `json:"p90"`
	P99   int64 `json:"p99"`
	Max   int64 `json:"max"`
}

// summary must not run while another goroutine adds.
func (h *histogram) summary() latency {
	s := latency{Max: h.max.Load()}
	for i := range h.buckets {
		s.Count += h.buckets[i].Load()
	}
	quantile := func(percent int64) int64 {
		rank := (s.Count*percent + 99) / 100
		for i := range h.buckets {
			if rank -= h.buckets[i].Load(); rank <= 0 {
				shift := max(i/subBuckets-1, 0)
				return min(int64(i-shift*subBuckets)<<shift+int64(1)<<shift>>1, s.Max)
			}
		}
		return s.Max
	}
	s.P50, s.P90, s.P99 = quantile(50), quantile(90), quantile(99)
	return s
}
