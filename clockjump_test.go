package provost_test

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/provost-go/provost"
	"github.com/provost-go/provost/internal/clock"
	"github.com/provost-go/provost/internal/testenv"
)

// jumpyClock is a wall clock that jumps while timers continue.
type jumpyClock struct{ offset atomic.Int64 }

func (c *jumpyClock) now() time.Time { return time.Now().Add(time.Duration(c.offset.Load())) }

func (c *jumpyClock) jump(d time.Duration) { c.offset.Add(int64(d)) }

const day = 24 * time.Hour

var jumps = []time.Duration{
	time.Second, -time.Second, 10 * time.Second, -10 * time.Second, 45 * time.Second, -45 * time.Second, 8 * time.Hour, -8 * time.Hour,
	day, -day, 400 * day, // far back: TestClockJumpsFarBack
}

// jumpTest serves deployments while its clock jumps, from a local or a remote store.
type jumpTest struct {
	clock  jumpyClock
	faulty *faulty
	store  provost.Store
	client *provost.Client
	logs   logBuffer
	poll   time.Duration // how long it takes at most to notice a jump
}

func everyJump(t *testing.T, test func(t *testing.T, j *jumpTest, jump time.Duration)) {
	for _, jump := range jumps {
		for _, local := range []bool{true, false} {
			if !local && jump < -8*time.Hour {
				continue // it would take too many polls
			}
			t.Run(fmt.Sprintf("%v local %v", jump, local), func(t *testing.T) {
				bubble(t, func(t *testing.T) {
					j := &jumpTest{faulty: newFaulty(), poll: 20 * time.Second}
					j.faulty.Store.(*provost.MemoryStore).Keep = -1
					j.store = j.faulty.Store
					if !local {
						j.store, j.poll = j.faulty, 1200*time.Millisecond
					}
					j.client = provost.NewClient(j.faulty.Store)
					test(t, j, jump)
				})
			})
		}
	}
}

func (j *jumpTest) start(t *testing.T, d ...*provost.Deployment) (stop func() error) {
	t.Helper()
	r := &provost.Runner{Store: j.store, Logger: j.logs.logger()}
	return startIn(clock.With(t.Context(), j.clock.now), t, r, d...)
}

// request creates a run by hand at the time that the clock shows.
func (j *jumpTest) request(t *testing.T, handle string, o *provost.RunOptions) *provost.Run {
	t.Helper()
	run, err := j.client.RunDeployment(clock.With(t.Context(), j.clock.now), handle, o)
	if err != nil {
		t.Fatal(err)
	}
	return run
}

// wantNoticed checks that the jump was logged exactly once.
func (j *jumpTest) wantNoticed(t *testing.T, jump time.Duration) {
	t.Helper()
	if n := len(j.logs.lines("clock jumped")); n != 1 {
		t.Errorf("%d lines for a jump of %v, want 1", n, jump)
	}
}

// ticks returns a function that counts the runs of a schedule by their instants.
func ticks(c *counter) func(ctx context.Context) error {
	return func(ctx context.Context) error {
		info, _ := provost.RunFromContext(ctx)
		c.add(info.ScheduledTime.String())
		return nil
	}
}

func TestClockJumpsWhileIdle(t *testing.T) {
	everyJump(t, func(t *testing.T, j *jumpTest, jump time.Duration) {
		var c counter
		stop := j.start(t, job("f", ticks(&c), provost.Every(5*time.Minute)))
		time.Sleep(time.Hour + time.Minute)
		before, _ := c.total()
		j.clock.jump(jump)
		time.Sleep(j.poll)
		synctest.Wait()
		j.wantNoticed(t, jump)
		after, twice := c.total()
		missed := 0
		if jump > 4*time.Minute {
			missed = 1 // only the newest one
		}
		if before != 12 || after-before != missed || twice > 0 {
			t.Errorf("%d runs before the jump, %d for it, %d instants twice, want 12, %d and 0", before, after-before, twice, missed)
		}
		// It continues at the next instant that has not been decided.
		rest := 10 * time.Minute
		if jump < 0 {
			rest -= jump
		}
		time.Sleep(rest)
		synctest.Wait()
		if later, twice := c.total(); later < after+1 || later > after+3 || twice > 0 {
			t.Errorf("%d runs in %v after the jump, want 1 to 3; %d instants twice, want none", later-after, rest, twice)
		}
		j.wantNoticed(t, jump)
		clean(t, stop)
	})
}

// Healthy runs continue under their leases, whatever the clock does.
func TestClockJumpsWhileARunIsInFlight(t *testing.T) {
	everyJump(t, func(t *testing.T, j *jumpTest, jump time.Duration) {
		entered := 0
		long := job("f", func(ctx context.Context) error {
			entered++
			select {
			case <-ctx.Done():
				return context.Cause(ctx)
			case <-time.After(5 * time.Minute):
				return nil
			}
		})
		stop := j.start(t, long)
		other := j.start(t, job("other", nothing, provost.Every(time.Minute))) // this runner would reap its leases
		run := j.request(t, "f/d", nil)
		time.Sleep(95 * time.Second)
		j.clock.jump(jump)
		run = wait(t, j.client, run.ID)
		wantState(t, run, provost.StateCompleted)
		if entered != 1 || run.Crashes != 0 {
			t.Errorf("entered %d times, %d crashes, want 1 and 0: %v", entered, run.Crashes, run.History)
		}
		clean(t, stop)
		clean(t, other)
	})
}

// A run that is claimed ahead of its instant starts when the clock reaches it: after a jump forward
// as soon as the jump is noticed, after a jump back not before the clock shows the instant again.
func TestClockJumpsWhileARunWaitsForItsInstant(t *testing.T) {
	everyJump(t, func(t *testing.T, j *jumpTest, jump time.Duration) {
		var mu sync.Mutex
		var starts []time.Time
		stop := j.start(t, job("f", func(context.Context) error {
			mu.Lock()
			defer mu.Unlock()
			starts = append(starts, time.Now())
			return nil
		}))
		due := time.Now().Add(2 * time.Second)
		run := j.request(t, "f/d", &provost.RunOptions{ScheduledTime: due})
		for range 100 { // until it is claimed
			if time.Sleep(20 * time.Millisecond); get(t, j.client, run.ID).State.Type != provost.StateScheduled {
				break
			}
		}
		wantState(t, get(t, j.client, run.ID), provost.StatePending)
		jumped := time.Now()
		j.clock.jump(jump)
		wantState(t, wait(t, j.client, run.ID), provost.StateCompleted)
		late := due.Add(-jump)
		if jump > 0 {
			late = jumped.Add(500 * time.Millisecond)
		}
		if len(starts) != 1 || starts[0].Before(due.Add(-jump)) || starts[0].After(late.Add(time.Millisecond)) {
			t.Errorf("started at %v, want once when due at %v, with a jump of %v at %v", starts, due, jump, jumped)
		}
		clean(t, stop)
	})
}

// Runs that wait for a limit are served one at a time, and none before it is due.
func TestClockJumpsWhileRunsQueueForALimit(t *testing.T) {
	everyJump(t, func(t *testing.T, j *jumpTest, jump time.Duration) {
		var c gauge
		d := job("f", func(context.Context) error {
			c.enter()
			defer c.leave()
			time.Sleep(10 * time.Second)
			return nil
		})
		d.ConcurrencyLimit = 1
		stop := j.start(t, d)
		var runs []*provost.Run
		for range 5 {
			runs = append(runs, j.request(t, "f/d", nil))
		}
		time.Sleep(15 * time.Second)
		j.clock.jump(jump)
		began := time.Now()
		for _, run := range runs {
			wantState(t, wait(t, j.client, run.ID), provost.StateCompleted)
		}
		if took := time.Since(began); c.max.Load() != 1 || took > max(0, -jump)+70*time.Second {
			t.Errorf("%d runs at once, took %v, want 1 and at most %v", c.max.Load(), took, max(0, -jump)+70*time.Second)
		}
		clean(t, stop)
	})
}

// After a jump forward by more than a lease, or on a machine that was suspended, the time counts as
// unserved: the hundreds of instants in it do not become hundreds of runs.
func TestJumpForwardIsUnservedTime(t *testing.T) {
	for name, c := range map[string]struct {
		schedule provost.Schedule
		jump     time.Duration
		runs     int
	}{
		"latest, every 5 minutes": {provost.Every(5 * time.Minute), 8 * time.Hour, 1},
		"latest, hourly cron":     {provost.Cron("0 * * * *"), 8 * time.Hour, 1},
		"none":                    {provost.Cron("30 * * * *").CatchUp(provost.CatchUpNone), 8 * time.Hour, 0},
		"all":                     {provost.Cron("30 * * * *").CatchUp(provost.CatchUpAll), 8 * time.Hour, 8},
	} {
		for _, local := range []bool{true, false} {
			t.Run(fmt.Sprintf("%s local %v", name, local), func(t *testing.T) {
				bubble(t, func(t *testing.T) {
					j := &jumpTest{faulty: newFaulty()}
					if j.store = j.faulty; local {
						j.store = j.faulty.Store
					}
					var mu sync.Mutex
					var inJump int
					var from, to time.Time
					stop := j.start(t, job("f", func(ctx context.Context) error {
						mu.Lock()
						defer mu.Unlock()
						info, _ := provost.RunFromContext(ctx)
						if !from.IsZero() && info.ScheduledTime.After(from) && !info.ScheduledTime.After(to) {
							inJump++
						}
						return nil
					}, c.schedule))
					time.Sleep(10*time.Minute + 1700*time.Millisecond)
					mu.Lock()
					from = j.clock.now().Add(time.Second)
					j.clock.jump(c.jump)
					to = j.clock.now()
					mu.Unlock()
					time.Sleep(25 * time.Second)
					synctest.Wait()
					if inJump != c.runs {
						t.Errorf("%d runs for instants inside the jump, want %d", inJump, c.runs)
					}
					clean(t, stop)
				})
			})
		}
	}
}

// A clock that jumps back by weeks stops a schedule for that long and no longer. PROVOST_LONG=1
// makes it 400 days.
func TestClockJumpsFarBack(t *testing.T) {
	back := 20 * day
	if testenv.Long() {
		back = 400 * day
	}
	bubble(t, func(t *testing.T) {
		var c counter
		j := &jumpTest{faulty: newFaulty()}
		j.store = j.faulty.Store
		stop := j.start(t, job("f", ticks(&c), provost.Every(24*time.Hour)))
		time.Sleep(3*day + time.Minute)
		before, _ := c.total()
		j.clock.jump(-back)
		time.Sleep(back + day)
		if after, twice := c.total(); before != 3 || after != 4 || twice > 0 {
			t.Errorf("%d runs before the jump, %d in all, %d instants twice, want 3, 4 and 0", before, after, twice)
		}
		clean(t, stop)
	})
}

// After many jumps in a row over a schedule of seconds, no instant has fired twice, and the
// schedule continues.
func TestManyJumps(t *testing.T) {
	bubble(t, func(t *testing.T) {
		j := &jumpTest{faulty: newFaulty()}
		j.store = j.faulty.Store
		var c counter
		stop := j.start(t, job("f", ticks(&c), provost.Every(time.Second)))
		for _, d := range []time.Duration{time.Hour, -time.Minute, -30 * time.Second, 3 * time.Second, time.Minute, -2 * time.Minute, 10 * time.Minute, -1500 * time.Millisecond, 2 * time.Second} {
			time.Sleep(7300 * time.Millisecond)
			j.clock.jump(d)
		}
		time.Sleep(3 * time.Minute)
		before, _ := c.total()
		time.Sleep(time.Minute)
		if total, twice := c.total(); twice > 0 || total != before+60 {
			t.Errorf("%d of %d instants twice, want none; %d in the last minute, want 60", twice, total, total-before)
		}
		clean(t, stop)
	})
}
