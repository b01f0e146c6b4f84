package main

import (
	"slices"
	"strconv"
	"time"
)

// tally is what all callers have seen together.
type tally struct {
	began, ended time.Time
	latencies    []int64 // ns, of good answers
	chunkDelays  []int64 // ns
	lost         int
	ids          []byte // of good answers, one a line, where somebody wants them
	errors       map[string]int
}

// report is what bench/speed/programs.py reads.
type report struct {
	Requests  int            `json:"requests"` // good answers
	Seconds   float64        `json:"seconds"`  // from the first request to the last answer
	LatencyUs quantiles      `json:"latency_us"`
	Chunks    int            `json:"chunks"`
	ChunkUs   quantiles      `json:"chunk_us"` // from the mock's writing to the loader's reading
	Lost      int            `json:"lost_chunks"`
	Errors    map[string]int `json:"errors"`
}

type quantiles struct {
	P50  float64 `json:"p50"`
	P90  float64 `json:"p90"`
	P99  float64 `json:"p99"`
	P999 float64 `json:"p999"`
	Max  float64 `json:"max"`
}

func newTally() *tally {
	return &tally{latencies: make([]int64, 0, 1<<20), errors: map[string]int{}}
}

// answer counts a good one. id: of its request; empty: it is not kept.
func (t *tally) answer(latency time.Duration, id []byte) {
	t.latencies = append(t.latencies, int64(latency))
	if len(id) > 0 {
		t.ids = append(append(t.ids, id...), '\n')
	}
	t.ended = time.Now()
}

func (t *tally) chunk(delay int64) { t.chunkDelays = append(t.chunkDelays, delay) }

func (t *tally) fail(kind string) { t.errors[kind]++ }

func (t *tally) unfinished(callers int) {
	if callers > 0 {
		t.errors["unfinished"] += callers
	}
}

func (t *tally) report() report {
	return report{
		Requests:  len(t.latencies),
		Seconds:   t.ended.Sub(t.began).Seconds(),
		LatencyUs: quantilesOf(t.latencies),
		Chunks:    len(t.chunkDelays),
		ChunkUs:   quantilesOf(t.chunkDelays),
		Lost:      t.lost,
		Errors:    t.errors,
	}
}

// quantilesOf sorts ns in place and returns µs.
func quantilesOf(ns []int64) quantiles {
	if len(ns) == 0 {
		return quantiles{}
	}
	slices.Sort(ns)
	at := func(share float64) float64 { return float64(ns[int(float64(len(ns)-1)*share)]) / 1000 }
	return quantiles{P50: at(0.5), P90: at(0.9), P99: at(0.99), P999: at(0.999), Max: at(1)}
}

func statusKind(status int) string { return "status " + strconv.Itoa(status) }
