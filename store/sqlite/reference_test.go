package sqlite_test

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/provost-go/provost/internal/testenv"
	"github.com/provost-go/provost/params"
	"github.com/provost-go/provost/schedule"
	"github.com/provost-go/provost/store"
	"github.com/provost-go/provost/store/memory"
)

var referenceSeed = flag.Uint64("reference.seed", 0, "the only seed of TestAgainstReference")

// TestAgainstReference makes the same random calls to this store and to the memory store, which is
// the reference. It compares all their answers, and finally all their contents.
func TestAgainstReference(t *testing.T) {
	t.Parallel()
	seeds, first := uint64(20), uint64(1)
	switch {
	case full:
		seeds = 500
	case testenv.Race:
		seeds = 5
	}
	if *referenceSeed != 0 {
		seeds, first = 1, *referenceSeed
	}
	for seed := first; seed < first+seeds; seed++ {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			memory := memory.New()
			memory.Keep = -1
			p := &pair{T: t, r: rand.New(rand.NewPCG(seed, 9)), mine: open(t, ":memory:"), reference: memory, now: time.Date(2026, 3, 2, 9, 0, 0, 0, time.UTC)}
			for range 300 {
				p.act()
				if t.Failed() {
					break
				}
			}
			if !t.Failed() {
				p.compareAll()
			}
			if t.Failed() {
				t.Logf("seed %d:\n%s", seed, bytes.Join(p.history[max(0, len(p.history)-25):], []byte("\n")))
			}
		})
	}
}

// pair is the store under test and the reference.
type pair struct {
	*testing.T
	r               *rand.Rand
	mine, reference store.Store
	now             time.Time
	history         [][]byte

	runners []uuid.UUID
	runs    []uuid.UUID
	leases  []store.Lease
	serial  int
	full    bool // a call was refused with ErrQueueFull
}

// id returns a new ID, greater than those before. It is the same in each run of a seed.
func (p *pair) id() uuid.UUID {
	p.serial++
	var id uuid.UUID
	binary.BigEndian.PutUint32(id[2:], uint32(p.serial))
	id[6], id[8] = 0x70, 0x80
	return id
}

func chosen[T any](r *rand.Rand, list []T) (v T) {
	if len(list) > 0 {
		v = list[r.IntN(len(list))]
	}
	return v
}

// both makes a call to both stores and compares the answers. It returns that of the reference.
func both[A any](p *pair, name string, params any, call func(store.Store) (A, error)) A {
	p.Helper()
	text, _ := json.Marshal(params)
	p.history = append(p.history, fmt.Appendf(nil, "%s %s", name, text))
	want, wantErr := call(p.reference)
	p.full = errors.Is(wantErr, store.ErrQueueFull)
	got, err := call(p.mine)
	for _, sentinel := range []error{store.ErrNotFound, store.ErrConflict, store.ErrQueueFull, store.ErrLeaseLost} {
		if errors.Is(err, sentinel) != errors.Is(wantErr, sentinel) {
			p.Errorf("%s: error %v, want that of the reference: %v", name, err, wantErr)
			return want
		}
	}
	if (err == nil) != (wantErr == nil) {
		p.Errorf("%s: error %v, want that of the reference: %v", name, err, wantErr)
	} else if a, b := normal(got), normal(want); err == nil && !bytes.Equal(a, b) {
		same := 0
		for same < min(len(a), len(b)) && a[same] == b[same] {
			same++
		}
		p.Errorf("%s: the answers differ after %s\n got %s\nwant %s", name, a[max(0, same-300):same], a[same:], b[same:])
	}
	return want
}

// normal returns an answer as text. It sorts what has no order, and names errors by their
// sentinels.
func normal(answer any) []byte {
	switch a := answer.(type) {
	case store.ClaimRunsResult:
		slices.SortFunc(a.Runs, func(x, y store.Claim) int { return slices.Compare(x.RunID[:], y.RunID[:]) })
		answer = a
	case store.RenewLeasesResult:
		for _, list := range [][]uuid.UUID{a.Lost, a.Cancel} {
			slices.SortFunc(list, func(x, y uuid.UUID) int { return slices.Compare(x[:], y[:]) })
		}
	case store.ReapLeasesResult:
		slices.SortFunc(a.Runs, func(x, y *store.Run) int { return slices.Compare(x.ID[:], y.ID[:]) })
	case []error:
		var words []string
		for _, err := range a {
			word := "fine"
			for _, sentinel := range []error{store.ErrNotFound, store.ErrConflict, store.ErrLeaseLost} {
				if errors.Is(err, sentinel) {
					word = sentinel.Error()
				}
			}
			words = append(words, word)
		}
		if !slices.ContainsFunc(words, func(w string) bool { return w != "fine" }) {
			words = nil
		}
		answer = words
	case []uuid.UUID:
		slices.SortFunc(a, func(x, y uuid.UUID) int { return slices.Compare(x[:], y[:]) })
	}
	text, err := json.Marshal(answer)
	if err != nil {
		return []byte(err.Error())
	}
	return text
}

func deploymentNumber(i int) uuid.UUID { return uuid.UUID{0: 0xd, 15: byte(i)} }

func (p *pair) act() {
	p.now = p.now.Add(time.Duration(p.r.IntN(2500)) * time.Millisecond)
	acts := []func(){
		p.register, p.serve, p.serve, p.heartbeat, p.leave, p.create, p.create, p.create, p.claim, p.claim, p.claim, p.renew, p.settle, p.settle,
		p.settle, p.cancel, p.retry, p.reap, p.pause, p.plan, p.plan, p.plan, p.remove, p.prune, p.undeploy, p.log,
	}
	acts[p.r.IntN(len(acts))]()
}

func (p *pair) register() {
	i := p.r.IntN(4)
	d := &store.DeploymentRecord{
		ID: deploymentNumber(i), FlowID: store.FlowID("f"), Flow: "f", Name: fmt.Sprint("d", i), Priority: p.r.IntN(2), Tags: []string{"t"},
		AtMostOnce: p.r.IntN(4) == 0,
	}
	switch i {
	case 1:
		d.ConcurrencyLimit, d.MaxWaiting = 1+p.r.IntN(2), 3
		d.Overlap = chosen(p.r, []store.Overlap{store.OverlapEnqueue, store.OverlapCancelNew, store.OverlapCancelRunning})
	case 2, 3:
		d.ConcurrencyLimit, d.MaxWaiting, d.LimitGroup = 2, 3, "g"
	}
	if p.r.IntN(3) > 0 {
		offset := time.Duration(i) * 137 * time.Millisecond // no two runs of one instant, as either may be claimed first
		s := schedule.Every(time.Duration(2+p.r.IntN(2)) * time.Second).Anchor(time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC).Add(offset))
		d.Schedules = []store.ScheduleRecord{{Key: "s", Schedule: s}}
	}
	d.Digest = fmt.Sprint(d.Priority, d.ConcurrencyLimit, d.Overlap, d.AtMostOnce, d.Schedules)
	params := store.RegisterDeploymentsParams{Now: p.now, Deployments: []*store.DeploymentRecord{d}}
	both(p, "RegisterDeployments", params, func(s store.Store) ([]store.Registration, error) {
		return s.RegisterDeployments(p.Context(), params)
	})
}

func (p *pair) serve() {
	if len(p.runners) < 3 {
		p.runners = append(p.runners, p.id())
	}
	id := chosen(p.r, p.runners)
	var served []uuid.UUID
	for i := range 4 {
		if p.r.IntN(4) > 0 {
			served = append(served, deploymentNumber(i))
		}
	}
	params := store.RegisterRunnerParams{Now: p.now, Deployments: served, Runner: store.RunnerRecord{
		ID: id, Name: "r" + id.String()[:13], Started: p.now, SeenAt: p.now, Until: p.now.Add(time.Duration(5+p.r.IntN(60)) * time.Second),
	}}
	both(p, "RegisterRunner", params, func(s store.Store) ([]uuid.UUID, error) { return s.RegisterRunner(p.Context(), params) })
}

func (p *pair) heartbeat() {
	params := store.HeartbeatRunnerParams{Now: p.now, Runner: chosen(p.r, p.runners), Until: p.now.Add(30 * time.Second)}
	both(p, "HeartbeatRunner", params, func(s store.Store) (any, error) { return nil, s.HeartbeatRunner(p.Context(), params) })
}

func (p *pair) leave() {
	params := store.RemoveRunnerParams{Now: p.now, Runner: chosen(p.r, p.runners), Pause: p.r.IntN(3) == 0}
	both(p, "RemoveRunner", params, func(s store.Store) (any, error) { return nil, s.RemoveRunner(p.Context(), params) })
}

func (p *pair) create() {
	params := store.CreateRunParams{
		Now: p.now, ID: p.id(), DeploymentID: deploymentNumber(p.r.IntN(4)), ScheduledTime: p.now, DueTime: p.now, Parameters: params.Params{"n": json.Number("1")},
	}
	if p.r.IntN(4) == 0 {
		params.DueTime = p.now.Add(time.Duration(p.r.IntN(5)) * time.Second)
	}
	if p.r.IntN(5) == 0 {
		params.IdempotencyKey = fmt.Sprint("key", p.r.IntN(3))
	}
	p.runs = append(p.runs, params.ID)
	both(p, "CreateRun", params, func(s store.Store) (*store.Run, error) { return s.CreateRun(p.Context(), params) })
	if p.full { // the reference has handed out slots to others before it refused; the next reaping does so anyway
		p.reap()
	}
}

func (p *pair) claim() {
	params := store.ClaimRunsParams{Now: p.now, Runner: chosen(p.r, p.runners), ID: p.id(), Limit: 1 + p.r.IntN(4), TTL: time.Duration(3+p.r.IntN(20)) * time.Second}
	if len(p.runs) > 3 && p.r.IntN(4) == 0 {
		params.Except = []uuid.UUID{chosen(p.r, p.runs[len(p.runs)-3:]), chosen(p.r, p.runs)}
	}
	claims := both(p, "ClaimRuns", params, func(s store.Store) (store.ClaimRunsResult, error) { return s.ClaimRuns(p.Context(), params) })
	for _, c := range claims.Runs {
		p.leases = append(p.leases, c.Lease)
		if !slices.Contains(p.runs, c.RunID) {
			p.runs = append(p.runs, c.RunID)
		}
	}
}

func (p *pair) renew() {
	params := store.RenewLeasesParams{Now: p.now, TTL: 10 * time.Second, Leases: p.leases[max(0, len(p.leases)-5):]}
	both(p, "RenewLeases", params, func(s store.Store) (store.RenewLeasesResult, error) { return s.RenewLeases(p.Context(), params) })
}

func (p *pair) settle() {
	var updates []store.RunUpdate
	for range 1 + p.r.IntN(3) {
		u := store.RunUpdate{Lease: chosen(p.r, p.leases), Attempt: 1 + p.r.IntN(2)}
		if p.r.IntN(4) > 0 {
			u.StartTime = p.now
		}
		u.State = store.State{Type: chosen(p.r, []store.StateType{
			store.StateCompleted, store.StateFailed, store.StateScheduled, store.StateCrashed, store.StateCancelled, "",
		}), Timestamp: p.now}
		switch u.State.Type {
		case store.StateCompleted:
			u.StartTime, u.Result = p.now, json.RawMessage(`{"n":1}`)
		case store.StateScheduled:
			u.State.Name, u.DueTime = store.NameAwaitingRetry, p.now.Add(time.Duration(p.r.IntN(4))*time.Second)
			u.Crashed = p.r.IntN(2) == 0
		case store.StateCrashed:
			u.Crashed = true
		}
		updates = append(updates, u)
	}
	params := store.SettleRunsParams{Now: p.now, Updates: updates}
	both(p, "SettleRuns", params, func(s store.Store) ([]error, error) { return s.SettleRuns(p.Context(), params) })
}

func (p *pair) cancel() {
	params := store.CancelRunParams{Now: p.now, RunID: chosen(p.r, p.runs), Message: "enough"}
	both(p, "CancelRun", params, func(s store.Store) (*store.Run, error) { return s.CancelRun(p.Context(), params) })
}

func (p *pair) retry() {
	params := store.RetryRunParams{Now: p.now, RunID: chosen(p.r, p.runs), Message: "again"}
	both(p, "RetryRun", params, func(s store.Store) (*store.Run, error) { return s.RetryRun(p.Context(), params) })
}

func (p *pair) reap() {
	params := store.ReapLeasesParams{Now: p.now}
	both(p, "ReapLeases", params, func(s store.Store) (store.ReapLeasesResult, error) { return s.ReapLeases(p.Context(), params) })
}

func (p *pair) pause() {
	params := store.SetPauseParams{Now: p.now, DeploymentID: deploymentNumber(p.r.IntN(4)), Schedule: chosen(p.r, []string{"", "s"})}
	if p.r.IntN(3) > 0 {
		mark := p.r.IntN(2) == 0
		params.Operator = &mark
	}
	both(p, "SetPause", params, func(s store.Store) (*store.DeploymentRecord, error) { return s.SetPause(p.Context(), params) })
}

// plan makes runs of the next instants, skips some, and deals with gaps as with a catch-up of one.
func (p *pair) plan() {
	asked := store.DueSchedulesParams{Now: p.now}
	due := both(p, "DueSchedules", asked, func(s store.Store) (store.DueSchedulesResult, error) { return s.DueSchedules(p.Context(), asked) })
	params := store.PlanRunsParams{Now: p.now}
	for _, item := range due.Items {
		plan := store.SchedulePlan{
			DeploymentID: item.DeploymentID, Generation: item.Generation, Key: item.Key, From: item.Planned, GapFound: item.GapFound, Planned: item.Planned,
		}
		if item.Gap && len(item.Unclaimed) > 0 {
			plan.Cancel, plan.Late, plan.Reason = item.Unclaimed[:len(item.Unclaimed)-1], item.Unclaimed[len(item.Unclaimed)-1:], store.SkipMissed
		}
		for at, ok := item.Schedule.Next(item.Planned); ok && at.Before(p.now.Add(6*time.Second)) && !item.Paused; at, ok = item.Schedule.Next(at) {
			if at.Before(p.now.Add(-4 * time.Second)) {
				plan.Skips = append(plan.Skips, store.Skip{
					ID: p.id(), DeploymentID: item.DeploymentID, Schedule: item.Key, Timing: item.Schedule, First: at, Last: at, Count: 1, Reason: store.SkipMissed,
				})
			} else {
				plan.Runs = append(plan.Runs, store.PlannedRun{ID: p.id(), ScheduledTime: at, DueTime: at, CatchUp: at.Before(p.now)})
			}
			plan.Planned = at
		}
		plan.PlanTime = p.now.Add(2 * time.Second)
		params.Plans = append(params.Plans, plan)
	}
	both(p, "PlanRuns", params, func(s store.Store) ([]error, error) { return s.PlanRuns(p.Context(), params) })
}

func (p *pair) remove() {
	id := chosen(p.r, p.runs)
	both(p, "DeleteRun", id, func(s store.Store) (any, error) { return nil, s.DeleteRun(p.Context(), id) })
}

func (p *pair) prune() {
	params := store.PruneRunsParams{Before: p.now.Add(-time.Minute), Limit: 3}
	switch p.r.IntN(3) {
	case 0:
		params = store.PruneRunsParams{Keep: 1 + p.r.IntN(10), Limit: 1 + p.r.IntN(5)}
	case 1:
		params.Deployments = []uuid.UUID{deploymentNumber(p.r.IntN(4)), deploymentNumber(p.r.IntN(4))}
		params.Keep = p.r.IntN(10)
	}
	both(p, "PruneRuns", params, func(s store.Store) (int, error) { return s.PruneRuns(p.Context(), params) })
}

func (p *pair) undeploy() {
	if p.r.IntN(4) > 0 {
		return
	}
	params := store.DeleteDeploymentParams{Now: p.now, ID: deploymentNumber(p.r.IntN(4))}
	both(p, "DeleteDeployment", params, func(s store.Store) (any, error) { return nil, s.DeleteDeployment(p.Context(), params) })
}

func (p *pair) log() {
	params := store.AppendLogsParams{Runs: []store.RunLog{{Lease: chosen(p.r, p.leases), Lines: []store.LogRecord{{Time: p.now, Message: "a line"}}}}}
	both(p, "AppendLogs", params, func(s store.Store) ([]error, error) { return s.AppendLogs(p.Context(), params) })
}

// compareAll compares the contents of both stores.
func (p *pair) compareAll() {
	for _, f := range []store.RunFilter{
		{},
		{Sort: store.OldestFirst},
		{Sort: store.SoonestDue},
		{Sort: store.LatestEnded},
		{States: []store.StateType{store.StateScheduled}},
		{States: []store.StateType{store.StateFailed, store.StateCancelled}},
		{DeploymentID: deploymentNumber(1)},
		{Tags: []string{"t"}},
	} {
		f.Limit = store.MaxPage
		both(p, "ListRuns", f, func(s store.Store) (store.Page[*store.Run], error) { return s.ListRuns(p.Context(), f) })
		both(p, "CountRuns", f, func(s store.Store) (int, error) { return s.CountRuns(p.Context(), f) })
	}
	for _, id := range p.runs {
		both(p, "ListLogs", id, func(s store.Store) (store.LogPage, error) {
			return s.ListLogs(p.Context(), store.LogFilter{RunID: id})
		})
	}
	both(p, "ListSkips", nil, func(s store.Store) (store.Page[store.Skip], error) {
		return s.ListSkips(p.Context(), store.SkipFilter{Limit: store.MaxPage})
	})
	both(p, "ListDeployments", nil, func(s store.Store) (store.Page[*store.DeploymentRecord], error) {
		return s.ListDeployments(p.Context(), store.DeploymentFilter{})
	})
	both(p, "ListRunners", nil, func(s store.Store) ([]store.RunnerRecord, error) { return s.ListRunners(p.Context()) })
}
