package engine

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/provost-go/provost/internal/instant"
	"github.com/provost-go/provost/schedule"
	"github.com/provost-go/provost/store"
)

// planWorld is a store with a single schedule. It remembers what became of each instant.
type planWorld struct {
	t        *testing.T
	item     store.PlanItem
	runs     map[time.Time]bool // true: cancelled as skipped
	skips    []store.Skip
	runsMade int
	planTime time.Time
	partial  bool // the last plan was partial
}

// plan makes and applies plans until the schedule needs none, as a runner and a store do.
func (w *planWorld) plan(now time.Time) {
	for round := 0; ; round++ {
		if round > 200 {
			w.t.Fatalf("no end of planning at %s", now)
		}
		p := makePlan(w.item, now)
		if p.Planned.Before(w.item.Planned) || !p.From.Equal(w.item.Planned) {
			w.t.Fatalf("plan goes back from %s to %s", w.item.Planned, p.Planned)
		}
		if len(p.Runs) > maxPlanned {
			w.t.Fatalf("plan of %d runs", len(p.Runs))
		}
		for _, at := range p.Cancel {
			if w.partial {
				break // the plan before was partial and had the same cancellations
			}
			if cancelled, known := w.runs[at]; !known || cancelled || p.Reason != store.SkipMissed {
				w.t.Errorf("cancels %s for %q: known %t, cancelled %t", at, p.Reason, known, cancelled)
			}
			w.runs[at] = true
		}
		for _, r := range p.Runs {
			if _, twice := w.runs[r.ScheduledTime]; twice {
				w.t.Errorf("second run for %s", r.ScheduledTime)
			}
			w.runs[r.ScheduledTime] = false
		}
		w.partial = p.Partial
		w.runsMade += len(p.Runs)
		w.skips = append(w.skips, p.Skips...)
		w.item.Planned, w.planTime = p.Planned, p.PlanTime
		if !p.Partial {
			w.settlePause()
		}
		if w.planTime.IsZero() || w.planTime.After(now) {
			return
		}
	}
}

// settlePause forgets the gap and the pause that a plan has recorded, as a store does.
func (w *planWorld) settlePause() {
	w.item.Gap, w.item.Unclaimed = false, nil
	if w.item.Paused {
		w.item.PausedFrom = instant.Latest(w.item.PausedFrom, w.item.Planned)
	} else {
		w.item.PausedFrom, w.item.PausedUntil = time.Time{}, time.Time{}
	}
}

// pause pauses the schedule as a store does, which deletes its future runs.
func (w *planWorld) pause(now time.Time) {
	w.item.Paused = true
	if w.item.PausedFrom.IsZero() {
		w.item.PausedFrom = now
	}
	w.item.PausedUntil = time.Time{}
	w.reset(now)
}

// resume ends a pause as a store does, which deletes the future runs.
func (w *planWorld) resume(now time.Time) {
	w.item.Paused, w.item.PausedUntil = false, now
	w.reset(now)
}

// reset deletes the runs after now.
func (w *planWorld) reset(now time.Time) {
	for at := range w.runs {
		if at.After(now) {
			delete(w.runs, at)
		}
	}
	w.item.Planned = instant.Earliest(w.item.Planned, now)
}

// unserved begins a gap: nobody claims the runs after from.
func (w *planWorld) unserved(from time.Time) {
	if w.item.Gap {
		return
	}
	w.item.Gap, w.item.ServedUntil, w.item.Unclaimed = true, from, nil
	for at, cancelled := range w.runs {
		if at.After(from) && !cancelled {
			w.item.Unclaimed = append(w.item.Unclaimed, at)
		}
	}
	slices.SortFunc(w.item.Unclaimed, time.Time.Compare)
}

// check checks that each instant up to now is exactly one of a run, a cancelled run or a part of
// one skip, and that enough runs are made ahead.
func (w *planWorld) check(birth, now time.Time) {
	w.t.Helper()
	fate := make(map[time.Time]int)
	for at := range w.runs {
		fate[at]++
	}
	for _, s := range w.skips {
		inside := w.item.Schedule.Between(s.First.Add(-time.Microsecond), s.Last)
		if len(inside) != s.Count || !inside[0].Equal(s.First) || !inside[len(inside)-1].Equal(s.Last) {
			w.t.Errorf("skip %s to %s counts %d, has %d", s.First, s.Last, s.Count, len(inside))
		}
		for _, at := range inside {
			fate[at]++
		}
	}
	for _, at := range w.item.Schedule.Between(birth, now) {
		if n := fate[at]; n != 1 {
			w.t.Errorf("instant %s has %d fates", at, n)
		}
		delete(fate, at)
	}
	ahead := 0
	for at := range fate {
		if ahead++; !at.After(now) {
			w.t.Errorf("%s is no instant", at)
		}
	}
	switch want := len(w.item.Schedule.Upcoming(now, upcomingRuns)); {
	case w.item.Paused && ahead > 0:
		w.t.Errorf("%d runs ahead during a pause", ahead)
	case !w.item.Paused && ahead < want:
		w.t.Errorf("%d runs ahead at %s, want %d", ahead, now, want)
	}
}

func TestPlanDecidesEachInstantOnce(t *testing.T) {
	birth := time.Date(2026, 3, 28, 0, 0, 0, 0, time.UTC)
	for seed := range uint64(80) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			r := rand.New(rand.NewPCG(seed, 1))
			schedules := []schedule.Schedule{
				schedule.Every(10 * time.Second), schedule.Every(time.Duration(1000+r.IntN(3_600_000)) * time.Millisecond), schedule.Every(7 * time.Hour),
				schedule.Cron("*/5 * * * *").In("Europe/Berlin"), schedule.Cron("30 2 * * *").In("Europe/Berlin"),
				schedule.Every(time.Minute).Until(birth.Add(3 * time.Hour)), schedule.Every(time.Minute).From(birth.Add(2 * time.Hour)),
				schedule.Every(20 * time.Minute).Except("2026-03-29"), schedule.At(birth.Add(time.Hour)), schedule.Every(time.Hour).Jitter(time.Minute),
			}
			policies := []schedule.CatchUpPolicy{schedule.CatchUpLatest, schedule.CatchUpAll, schedule.CatchUpNone}
			s := schedules[r.IntN(len(schedules))].CatchUp(policies[r.IntN(3)])
			if r.IntN(2) == 0 {
				s = s.CatchUpWindow(time.Duration(r.Int64N(int64(6 * time.Hour))))
			}
			w := &planWorld{t: t, runs: make(map[time.Time]bool), item: store.PlanItem{
				DeploymentID: uuid.New(), Generation: 1, Key: "k", Schedule: s, Planned: birth,
			}}
			now := birth
			w.plan(now)
			for step := range 30 {
				before := now
				now = now.Add(instantStep(r))
				if !w.item.Gap && r.IntN(3) == 0 { // it was served for part of the step
					w.unserved(before.Add(time.Duration(r.Int64N(int64(now.Sub(before)) + 1)).Truncate(time.Microsecond)))
				}
				switch r.IntN(6) {
				case 0:
					if !w.item.Paused {
						w.pause(now)
					}
				case 1:
					if w.item.Paused {
						w.resume(now)
					}
				}
				if r.IntN(4) > 0 || step%10 == 9 {
					w.plan(now)
					w.check(birth, now)
				}
				if t.Failed() {
					t.Fatalf("schedule %s, step %d", s, step)
				}
			}
		})
	}
}

func instantStep(r *rand.Rand) time.Duration {
	largest := []time.Duration{time.Second, time.Minute, time.Hour, 8 * time.Hour}[r.IntN(4)]
	return time.Duration(1+r.Int64N(int64(largest))).Truncate(time.Microsecond) + time.Microsecond
}

func TestPlanAfterLongDowntimeIsBounded(t *testing.T) {
	birth := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	for _, policy := range []schedule.CatchUpPolicy{schedule.CatchUpLatest, schedule.CatchUpAll, schedule.CatchUpNone} {
		for _, interval := range []time.Duration{time.Millisecond, time.Second} {
			for name, down := range map[string]time.Duration{"30 days": 30 * 24 * time.Hour, "a year": 365 * 24 * time.Hour} {
				t.Run(fmt.Sprintf("%s %s %s", policy, interval, name), func(t *testing.T) {
					w := &planWorld{t: t, runs: make(map[time.Time]bool), item: store.PlanItem{
						DeploymentID: uuid.New(), Generation: 1, Key: "k", Schedule: schedule.Every(interval).CatchUp(policy), Planned: birth,
					}}
					w.plan(birth)
					w.unserved(birth.Add(time.Millisecond))
					before, now := w.runsMade, birth.Add(down)
					began := time.Now()
					w.plan(now)
					if took := time.Since(began); took > time.Second {
						t.Errorf("planning took %v", took)
					}
					late := 0
					for at, cancelled := range w.runs {
						if !at.After(now) && !cancelled {
							late++
						}
					}
					if late > catchUpAllRuns+1 || w.runsMade-before > catchUpAllRuns+3000 {
						t.Errorf("%d late runs, %d runs made", late, w.runsMade-before)
					}
					decided := late
					for _, cancelled := range w.runs {
						if cancelled {
							decided++
						}
					}
					for _, s := range w.skips {
						decided += s.Count
					}
					if want := int(down / interval); decided != want {
						t.Errorf("%d instants decided, want %d", decided, want)
					}
				})
			}
		}
	}
}

func TestPlanAfterLongPauseRunsNothing(t *testing.T) {
	birth := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	w := &planWorld{t: t, runs: make(map[time.Time]bool), item: store.PlanItem{
		DeploymentID: uuid.New(), Generation: 1, Key: "k", Schedule: schedule.Every(time.Second).CatchUp(schedule.CatchUpAll), Planned: birth,
	}}
	w.pause(birth)
	now := birth.Add(30 * 24 * time.Hour)
	w.resume(now)
	w.plan(now)
	for at := range w.runs {
		if !at.After(now) {
			t.Fatalf("%s is inside the pause and runs", at)
		}
	}
	if len(w.skips) != 1 || w.skips[0].Count != int(now.Sub(birth)/time.Second) || w.skips[0].Reason != store.SkipPaused {
		t.Errorf("skips %+v", w.skips)
	}
}

func TestPlanOfABacklogThatFillsIt(t *testing.T) {
	birth := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	w := &planWorld{t: t, runs: make(map[time.Time]bool), item: store.PlanItem{
		DeploymentID: uuid.New(), Generation: 1, Key: "k", Schedule: schedule.Every(time.Second), Planned: birth,
	}}
	w.unserved(birth.Add(2500 * time.Second)) // until then a runner served it, but the store refused its plans
	now := birth.Add(time.Hour)
	w.plan(now)
	w.check(birth, now)
	late := 0
	for at := range w.runs {
		if !at.After(now) {
			late++
		}
	}
	if late != 2501 {
		t.Errorf("%d late runs, want the backlog of 2500 and the newest", late)
	}
}
