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

	"github.com/provost-go/provost/internal/testenv"
)

var (
	seedFlag     = flag.Int64("sim.seed", -1, "simulate only this seed, up to 200 times (or PROVOST_SIM_SEED)")
	seedsFlag    = flag.Int("sim.seeds", 0, "how many seeds to simulate (or PROVOST_SIM_SEEDS)")
	historyFlag  = flag.String("sim.history", "", "write the whole history of a failed seed to this file")
	allCallsFlag = flag.Bool("sim.calls", false, "let each call of the scenario fail in each way (or PROVOST_SIM_CALLS)")
	firstFlag    = flag.Int("sim.first", 0, "the first of these seeds (or PROVOST_SIM_FIRST)")
)

// setting returns the value of a flag; if that is unset, the environment variable; if there is
// none, the fallback.
func setting(t *testing.T, value, unset int64, variable string, fallback int64) int64 {
	t.Helper()
	if value != unset {
		return value
	}
	text := os.Getenv(variable)
	if text == "" {
		return fallback
	}
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil {
		t.Fatalf("%s: %v", variable, err)
	}
	return n
}

// TestSimulation simulates a world for each seed, with crashes, stalls, partitions, clock jumps and
// failing calls, and checks its history. See the package documentation for the flags.
func TestSimulation(t *testing.T) {
	seeds := 200
	switch {
	case testenv.Race:
		seeds = 30
	case testing.Short():
		seeds = 50
	}
	if seed := setting(t, *seedFlag, -1, "PROVOST_SIM_SEED", -1); seed >= 0 {
		for range 200 {
			simulateSeed(t, uint64(seed))
			if t.Failed() {
				return
			}
		}
		return
	}
	first := setting(t, int64(*firstFlag), 0, "PROVOST_SIM_FIRST", 0)
	last := first + setting(t, int64(*seedsFlag), 0, "PROVOST_SIM_SEEDS", int64(seeds))
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

// simulateSeed simulates a seed and reports what is wrong with its history.
func simulateSeed(t *testing.T, seed uint64) bool {
	t.Helper()
	found, h := simulate(t, seed, nil)
	if len(found) == 0 {
		return true
	}
	if *historyFlag != "" {
		if err := os.WriteFile(*historyFlag, []byte(h.text(1<<30)), 0o600); err != nil {
			t.Error(err)
		}
	}
	t.Errorf("seed %d (to repeat: go test ./internal/sim -run 'TestSimulation$' -sim.seed=%d):\n%s\n%s", seed, seed,
		strings.Join(found[:min(len(found), 20)], "\n"), excerpt(h, found))
	return false
}

// maxExcerpt is the limit of an excerpt, in bytes.
const maxExcerpt = 40_000

// excerpt returns the part of a history that is about the runs that the first findings name. If
// they name none it returns the end of the history.
func excerpt(h *history, found []string) string {
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
