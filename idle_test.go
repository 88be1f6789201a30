package provost_test

import (
	"testing"
	"time"

	"github.com/provost-go/provost/internal/race"

	"github.com/provost-go/provost"
)

// A runner with a local store and nothing to do looks at its clocks, and at little else: 30 days of that cost no more than some
// 130,000 heartbeats.
func TestIdleMonth(t *testing.T) {
	days := 30
	if race.Enabled {
		days = 3
	}
	bubble(t, func(t *testing.T) {
		f := newFaulty()
		stop := start(t, &provost.Runner{Store: localFaulty{f}}, job("f", nothing))
		time.Sleep(time.Duration(days) * day)
		if n := calls(f); n > days*4366 {
			t.Errorf("%d store calls", n)
		}
		clean(t, stop)
	})
}
