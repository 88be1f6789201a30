package provost_test

import (
	"context"
	"testing"
	"time"

	"github.com/provost-go/provost"
	"github.com/provost-go/provost/store"
)

func TestCatchUpBetweenTwoServes(t *testing.T) {
	cases := map[string]struct {
		schedule provost.Schedule
		down     time.Duration
		runs     int
	}{
		"latest":                 {provost.Every(time.Minute), 90*time.Minute + time.Second, 1},
		"latest outside window":  {provost.Every(time.Hour).CatchUpWindow(10 * time.Minute), 90 * time.Minute, 0},
		"all":                    {provost.Every(time.Minute).CatchUp(provost.CatchUpAll), 10*time.Hour + 30*time.Second, 100},
		"all in its window":      {provost.Every(time.Minute).CatchUp(provost.CatchUpAll).CatchUpWindow(10 * time.Minute), 10*time.Hour + 30*time.Second, 10},
		"all, a short downtime":  {provost.Every(time.Hour).CatchUp(provost.CatchUpAll), 150 * time.Minute, 2},
		"none":                   {provost.Every(time.Hour).CatchUp(provost.CatchUpNone), 10*time.Hour + 10*time.Minute, 0},
		"none, just now":         {provost.Every(time.Hour).CatchUp(provost.CatchUpNone), 10*time.Hour + 20*time.Second, 1},
		"a second for a month":   {provost.Every(time.Second), 30*24*time.Hour + time.Second/2, 1},
		"nothing missed":         {provost.Every(24 * time.Hour), time.Hour, 0},
		"At in the downtime":     {provost.At(time.Date(2000, 1, 1, 0, 30, 0, 0, time.UTC)), time.Hour, 1},
		"At, none":               {provost.At(time.Date(2000, 1, 1, 0, 30, 0, 0, time.UTC)).CatchUp(provost.CatchUpNone), time.Hour, 0},
		"a millisecond, an hour": {provost.Every(time.Millisecond), time.Hour + time.Millisecond/2, 1},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				st := provost.NewMemoryStore()
				st.Keep = -1
				client := provost.NewClient(st)
				var late counter
				var up time.Time
				d := job("f", func(ctx context.Context) error {
					info, _ := provost.RunFromContext(ctx)
					if !up.IsZero() && info.ScheduledTime.Before(up) {
						late.add(info.ScheduledTime.String())
					}
					return nil
				}, c.schedule)
				stop := start(t, &provost.Runner{Store: st}, d)
				clean(t, stop)
				down := time.Now()
				time.Sleep(c.down)
				up = time.Now()
				stop = start(t, &provost.Runner{Store: st, Limit: -1}, d)
				time.Sleep(300 * time.Microsecond)
				clean(t, stop)
				if total, twice := late.total(); total != c.runs || twice > 0 {
					t.Errorf("%d missed instants ran, %d twice; want %d and 0", total, twice, c.runs)
				}
				decided := c.runs
				for _, s := range skips(t, client, "f/d") {
					if decided += s.Count; s.Reason != provost.SkipMissed {
						t.Errorf("skip %+v, want reason %q", s, provost.SkipMissed)
					}
				}
				for _, run := range list(t, client, provost.RunFilter{States: []provost.StateType{provost.StateCancelled}}) {
					if run.State.Name == store.NameSkipped {
						decided++
					}
				}
				missed := len(c.schedule.Between(down, up))
				if few := missed < 1_000_000; few && decided != missed {
					t.Errorf("%d instants decided, want the %d that were missed", decided, missed)
				}
			})
		})
	}
}
