package engine

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/provost-go/provost/internal/instant"
	"github.com/provost-go/provost/schedule"
	"github.com/provost-go/provost/store"
	"github.com/provost-go/provost/store/memory"
)

// clockWorld is a memory store with one schedule. Runners serve it whose clock jumps back and
// forth.
type clockWorld struct {
	*testing.T
	rand      *rand.Rand
	store     *memory.Store
	schedule  schedule.Schedule
	id        uuid.UUID
	runner    store.RunnerRecord
	birth     time.Time
	now       time.Time
	watermark time.Time
}

func newClockWorld(t *testing.T, seed uint64, s schedule.Schedule) *clockWorld {
	w := &clockWorld{
		T: t, rand: rand.New(rand.NewPCG(seed, 7)), store: memory.New(), schedule: s, id: store.DeploymentID("f", "d"),
		birth: time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC),
	}
	w.store.Keep, w.now, w.watermark = -1, w.birth, w.birth
	_, err := w.store.RegisterDeployments(t.Context(), store.RegisterDeploymentsParams{Now: w.now, Deployments: []*store.DeploymentRecord{{
		ID: w.id, FlowID: store.FlowID("f"), Flow: "f", Name: "d", Digest: "1", Schedules: []store.ScheduleRecord{{Key: "k", Schedule: s}},
	}}})
	w.must(err)
	w.serve()
	return w
}

func (w *clockWorld) must(err error) {
	w.Helper()
	if err != nil {
		w.Fatal(err)
	}
}

// serve registers a new runner, as a restart does.
func (w *clockWorld) serve() {
	w.runner = store.RunnerRecord{ID: store.NewID(w.now), Name: "r", SeenAt: w.now, Until: w.now.Add(30 * time.Second)}
	_, err := w.store.RegisterRunner(w.Context(), store.RegisterRunnerParams{Now: w.now, Runner: w.runner, Deployments: []uuid.UUID{w.id}})
	w.must(err)
}

// leave removes the runner, as the end of Serve does.
func (w *clockWorld) leave() {
	w.must(w.store.RemoveRunner(w.Context(), store.RemoveRunnerParams{Now: w.now, Runner: w.runner.ID}))
}

// poll is what a runner does when it wakes: it sends a heartbeat, plans, claims and executes.
func (w *clockWorld) poll() {
	w.must(w.store.HeartbeatRunner(w.Context(), store.HeartbeatRunnerParams{
		Now: w.now, Runner: w.runner.ID, Until: w.now.Add(30 * time.Second),
	}))
	for round := 0; ; round++ {
		due, err := w.store.DueSchedules(w.Context(), store.DueSchedulesParams{Now: w.now})
		w.must(err)
		if len(due.Items) == 0 {
			break
		}
		if round > 100 {
			w.Fatalf("no end of planning at %s", w.now)
		}
		_, err = w.store.PlanRuns(w.Context(), store.PlanRunsParams{Now: w.now, Plans: []store.SchedulePlan{makePlan(due.Items[0], w.now)}})
		w.must(err)
	}
	claims, err := w.store.ClaimRuns(w.Context(), store.ClaimRunsParams{Now: w.now, Runner: w.runner.ID, Limit: store.MaxPage, TTL: time.Minute})
	w.must(err)
	var updates []store.RunUpdate
	for _, c := range claims.Runs {
		if c.DueTime.After(w.now.Add(store.ClaimAhead)) {
			w.Errorf("run of %s is claimed at %s", c.ScheduledTime, w.now)
		}
		updates = append(updates, store.RunUpdate{Lease: c.Lease, StartTime: w.now, Attempt: 1, State: store.NewState(store.StateCompleted, w.now, "")})
	}
	_, err = w.store.SettleRuns(w.Context(), store.SettleRunsParams{Now: w.now, Updates: updates})
	w.must(err)
}

func (w *clockWorld) pause(paused bool) {
	_, err := w.store.SetPause(w.Context(), store.SetPauseParams{Now: w.now, DeploymentID: w.id, Operator: &paused})
	w.must(err)
}

// check checks that each planned instant is either one run or part of one skip range, and that the
// watermark never moves back.
func (w *clockWorld) check() {
	w.Helper()
	record, err := w.store.GetDeployment(w.Context(), w.id)
	w.must(err)
	s := record.Schedules[0]
	if s.Watermark.Before(w.watermark) {
		w.Errorf("watermark went back from %s to %s", w.watermark, s.Watermark)
	}
	w.watermark = s.Watermark
	fates := make(map[time.Time]int)
	for r, err := range store.Pages(w.Context(), func(ctx context.Context, cursor string) (store.Page[*store.Run], error) {
		return w.store.ListRuns(ctx, store.RunFilter{Limit: store.MaxPage, Cursor: cursor})
	}) {
		w.must(err)
		fates[r.ScheduledTime]++
	}
	for skip, err := range store.Pages(w.Context(), func(ctx context.Context, cursor string) (store.Page[store.Skip], error) {
		return w.store.ListSkips(ctx, store.SkipFilter{Limit: store.MaxPage, Cursor: cursor})
	}) {
		w.must(err)
		inside := w.schedule.Between(skip.First.Add(-time.Microsecond), skip.Last)
		if len(inside) != skip.Count {
			w.Errorf("skip of %d has %d instants", skip.Count, len(inside))
		}
		for _, at := range inside {
			fates[at]++
		}
	}
	for _, at := range w.schedule.Between(w.birth, s.Planned) {
		if fates[at] != 1 {
			w.Errorf("instant %s has %d fates", at, fates[at])
		}
		delete(fates, at)
	}
	for at, n := range fates {
		if n != 1 {
			w.Errorf("instant %s after Planned has %d fates", at, n)
		}
	}
}

// TestClockThatJumps checks that whatever the wall clock does, each instant is decided once.
// PROVOST_CLOCK_SEEDS sets the number of seeds.
func TestClockThatJumps(t *testing.T) {
	seeds := uint64(12)
	if n, err := strconv.ParseUint(os.Getenv("PROVOST_CLOCK_SEEDS"), 10, 64); err == nil {
		seeds = n
	}
	for seed := range seeds {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			policies := []schedule.CatchUpPolicy{schedule.CatchUpLatest, schedule.CatchUpAll, schedule.CatchUpNone}
			schedules := []schedule.Schedule{schedule.Every(5 * time.Hour), schedule.Cron("30 2,14 * * *").In("Europe/Berlin"), schedule.Every(24 * time.Hour).In("America/New_York")}
			w := newClockWorld(t, seed, schedules[seed%3].CatchUp(policies[seed/3%3]))
			paused := false
			for step := range 60 {
				jump := []time.Duration{time.Second, time.Minute, 6 * time.Hour, 400 * 24 * time.Hour}[w.rand.IntN(4)]
				w.now = instant.Of(w.now.Add(time.Duration(w.rand.Int64N(int64(jump)*2)) - jump/2))
				if limit := w.birth.Add(800 * 24 * time.Hour); w.now.After(limit) {
					w.now = limit.Add(-time.Duration(w.rand.Int64N(int64(800 * 24 * time.Hour)))).Truncate(time.Microsecond)
				}
				switch w.rand.IntN(6) {
				case 0:
					paused = !paused
					w.pause(paused)
				case 1:
					w.leave()
					w.serve()
				}
				w.poll()
				if w.check(); t.Failed() {
					t.Fatalf("step %d at %s", step, w.now)
				}
			}
		})
	}
}

// TestPlanAfterTheClockWentBackIsBounded checks the plan of a schedule of seconds of which 400 days
// are planned already.
func TestPlanAfterTheClockWentBackIsBounded(t *testing.T) {
	now := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	began := time.Now()
	p := makePlan(store.PlanItem{Schedule: schedule.Every(time.Second), Planned: now.Add(400 * 24 * time.Hour), Key: "k"}, now)
	if took := time.Since(began); took > time.Second || len(p.Runs) > 2*upcomingRuns || !p.PlanTime.After(now) {
		t.Errorf("took %v, %d runs, to be planned again at %s", took, len(p.Runs), p.PlanTime)
	}
}

// TestMonthOfSeconds checks that a schedule of seconds that nobody served for a month costs little
// when it is served again.
func TestMonthOfSeconds(t *testing.T) {
	w := newClockWorld(t, 0, schedule.Every(time.Second).CatchUp(schedule.CatchUpAll))
	w.poll()
	w.leave()
	w.now = w.now.Add(30 * 24 * time.Hour)
	before, err := w.store.CountRuns(t.Context(), store.RunFilter{})
	w.must(err)
	began := time.Now()
	w.serve()
	w.poll()
	took := time.Since(began)
	after, err := w.store.CountRuns(t.Context(), store.RunFilter{})
	w.must(err)
	if made := after - before; took > time.Second || made > catchUpAllRuns+2*upcomingRuns {
		t.Errorf("took %v, made %d runs", took, made)
	}
}

// TestPlannersRace checks that however many planners share a store, each instant gets one run.
// PROVOST_RACE_INSTANTS sets the number of instants.
func TestPlannersRace(t *testing.T) {
	instants := 10_000
	if n, err := strconv.Atoi(os.Getenv("PROVOST_RACE_INSTANTS")); err == nil {
		instants = n
	}
	w := newClockWorld(t, 0, schedule.Every(time.Millisecond))
	_, err := w.store.RegisterRunner(t.Context(), store.RegisterRunnerParams{
		Now: w.now, Runner: store.RunnerRecord{ID: store.NewID(w.now), SeenAt: w.now, Until: w.now.Add(time.Hour)}, Deployments: []uuid.UUID{w.id},
	})
	w.must(err)
	end := w.birth.Add(time.Duration(instants) * time.Millisecond)
	var group sync.WaitGroup
	for i := range 16 {
		group.Go(func() {
			r := rand.New(rand.NewPCG(uint64(i), 0))
			for now := w.birth; now.Before(end); now = now.Add(time.Duration(r.IntN(2000)) * time.Millisecond) {
				due, err := w.store.DueSchedules(t.Context(), store.DueSchedulesParams{Now: now})
				for _, item := range due.Items {
					_, err = w.store.PlanRuns(t.Context(), store.PlanRunsParams{Now: now, Plans: []store.SchedulePlan{makePlan(item, now)}})
				}
				if err != nil {
					t.Error(err)
				}
			}
		})
	}
	group.Wait()
	w.check()
	if record, err := w.store.GetDeployment(t.Context(), w.id); err != nil || record.Schedules[0].Planned.Before(end.Add(-2*time.Second)) {
		t.Errorf("planned up to %v, error %v", record.Schedules[0].Planned, err)
	}
}
