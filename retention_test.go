package provost_test

import (
	"context"
	"testing"
	"time"

	"github.com/provost-go/provost"
)

// TestRetention checks that runners delete finished runs by age and by number, each deployment by
// its own rule, and that no instant runs again because of it.
func TestRetention(t *testing.T) {
	bubble(t, func(t *testing.T) {
		store := provost.NewMemoryStore()
		client := provost.NewClient(store)
		var ran counter
		declare := func(name string, r provost.Retention) *provost.Deployment {
			d := job(name, func(ctx context.Context) error { ran.add(name); return nil }, provost.Every(time.Minute))
			d.Retention = r
			return d
		}
		stop := start(t, &provost.Runner{Store: store, Retention: provost.Retention{Runs: 5}},
			declare("runner's", provost.Retention{}), declare("old", provost.Retention{Age: 10 * time.Minute}),
			declare("both", provost.Retention{Age: time.Hour, Runs: 20}), declare("all", provost.Retention{Runs: 1 << 30}))
		time.Sleep(2*time.Hour + time.Second)
		kept := make(map[string]int)
		for _, run := range list(t, client, provost.RunFilter{States: []provost.StateType{provost.StateCompleted}}) {
			kept[run.Flow]++
			if age := time.Since(run.EndTime); run.Flow == "old" && age > 12*time.Minute {
				t.Errorf("a run that ended %v ago is kept, want at most 12m0s", age)
			}
		}
		for name, want := range map[string]int{"runner's": 5, "old": 10, "both": 20, "all": 120} {
			if n := kept[name]; n < want || n > want+2 && name != "all" {
				t.Errorf("%d runs of %q are kept, want %d plus those that ended since the last pruning", n, name, want)
			}
			if n := ran.get(name); n < 119 || n > 121 {
				t.Errorf("%q ran %d times in two hours, want once a minute", name, n)
			}
		}
		clean(t, stop)
	})
}

func TestRetentionRefused(t *testing.T) {
	d := job("f", nothing)
	d.Retention = provost.Retention{Age: -time.Hour, Runs: -1}
	wantError(t, d.Validate(), "deployment f/d: Retention.Age: is -1h0m0s; give 0 (no bound) or more", "Retention.Runs: is -1")
	runner := &provost.Runner{Retention: provost.Retention{Runs: -2}}
	wantError(t, runner.Serve(t.Context(), job("f", nothing)), "runner: Retention.Runs: is -2; give 0 (no bound) or more")
}
