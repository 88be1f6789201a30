package sim

import (
	"flag"
	"fmt"
	"os"
	"runtime"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/provost-go/provost/internal/race"
)

var (
	simSeed  = flag.Int64("sim.seed", -1, "simulate this seed alone, again and again (or PROVOST_SIM_SEED)")
	simSeeds = flag.Int("sim.seeds", 0, "how many seeds to simulate (or PROVOST_SIM_SEEDS)")
	simWhole = flag.String("sim.history", "", "write the whole history of a seed that fails to this file")
	simCalls = flag.Bool("sim.calls", false, "let each call fail in each way (or PROVOST_SIM_CALLS)")
	simFirst = flag.Int("sim.first", 0, "the first of them (or PROVOST_SIM_FIRST)")
)

// simNumber is a flag, else the environment variable, else the default.
func simNumber(t *testing.T, given int64, unset int64, variable string, otherwise int64) int64 {
	t.Helper()
	if given != unset {
		return given
	}
	text := os.Getenv(variable)
	if text == "" {
		return otherwise
	}
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil {
		t.Fatalf("%s: %v", variable, err)
	}
	return n
}

// TestSimulation lets runners serve one store through crashes, stalls, partitions, clock jumps and failing calls, each world
// from a seed, and holds its history against what was promised. A seed fixes faults, times and data, not the order in which
// goroutines run: -sim.seed=N tries that one up to 200 times. -sim.seeds=N simulates more, from -sim.first on:
//
//	go test -run 'TestSimulation$' -sim.seeds=20000 -timeout 3h .
func TestSimulation(t *testing.T) {
	seeds := 200
	switch {
	case race.Enabled:
		seeds = 30
	case testing.Short():
		seeds = 50
	}
	if seed := simNumber(t, *simSeed, -1, "PROVOST_SIM_SEED", -1); seed >= 0 {
		for range 200 {
			simulateSeed(t, uint64(seed))
			if t.Failed() {
				return
			}
		}
		return
	}
	first := simNumber(t, int64(*simFirst), 0, "PROVOST_SIM_FIRST", 0)
	last := first + simNumber(t, int64(*simSeeds), 0, "PROVOST_SIM_SEEDS", int64(seeds))
	var next, failed atomic.Int64
	next.Store(first)
	for worker := range runtime.GOMAXPROCS(0) {
		t.Run(fmt.Sprint("worker", worker), func(t *testing.T) {
			t.Parallel()
			for seed := next.Add(1) - 1; seed < last && failed.Load() < 10; seed = next.Add(1) - 1 {
				if !simulateSeed(t, uint64(seed)) {
					failed.Add(1)
				}
			}
		})
	}
}

// simulateSeed reports what is wrong with the history of a seed.
func simulateSeed(t *testing.T, seed uint64) bool {
	t.Helper()
	found, history := simulate(t, seed, nil)
	if len(found) == 0 {
		return true
	}
	if *simWhole != "" {
		if err := os.WriteFile(*simWhole, []byte(history.text(1<<30)), 0o600); err != nil {
			t.Error(err)
		}
	}
	t.Errorf("seed %d (again: go test -run 'TestSimulation$' -sim.seed=%d .):\n%s\n%s", seed, seed,
		strings.Join(found[:min(len(found), 20)], "\n"), excerpt(history, found))
	return false
}

// maxExcerpt bounds what is shown of a history.
const maxExcerpt = 40_000

// excerpt is what the history says of the runs that are complained of, and its end.
func excerpt(h *simHistory, found []string) string {
	var words []string
	for _, line := range found[:min(len(found), 3)] {
		for word := range strings.FieldsFuncSeq(line, func(r rune) bool { return strings.ContainsRune(" ,.:;()", r) }) {
			if len(word) == 8 && strings.Trim(word, "0123456789abcdef") == "" {
				words = append(words, word)
			}
		}
	}
	text := h.of(words...)
	if len(words) == 0 {
		text = h.text(300)
	}
	if len(text) > maxExcerpt {
		text = text[:maxExcerpt/2] + "\n...\n" + text[len(text)-maxExcerpt/2:]
	}
	return text
}
