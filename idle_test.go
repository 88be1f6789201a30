package provost_test

import (
	"testing"
	"time"

	"github.com/provost-go/provost"
	"github.com/provost-go/provost/internal/testenv"
)

// A runner with a local store and nothing to do checks its clocks and does little else: 30 days
// cost no more than about 130,000 heartbeats.
func TestIdleMonth(t *testing.T) {
	days := 30
	if testenv.Race {
		days = 3
	}
	bubble(t, func(t *testing.T) {
		f := newFaulty()
		stop := start(t, &provost.Runner{Store: localFaulty{f}}, job("f", nothing))
		time.Sleep(time.Duration(days) * day)
		if n := f.total(); n > days*4366 {
			t.Errorf("%d store calls, want at most %d", n, days*4366)
		}
		clean(t, stop)
	})
}
