package postgres_test

import (
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/provost-go/provost/store"
	"github.com/provost-go/provost/store/postgres"
)

func TestClockIsMeasured(t *testing.T) {
	store := open(t, schema(t))
	if ahead := store.Ahead(); ahead != 0 {
		t.Errorf("a server on this machine: got %v ahead, want 0", ahead)
	}
	for _, m := range []struct{ ahead, took, want time.Duration }{
		{time.Minute, time.Second, 0},                                       // too slow to be precise
		{150 * time.Millisecond, time.Millisecond, 0},                       // the clocks agree
		{time.Minute, time.Millisecond, time.Minute},                        // they differ
		{time.Minute + 150*time.Millisecond, time.Millisecond, time.Minute}, // no news
		{-time.Hour, time.Millisecond, -time.Hour},                          // the clock was set
		{10 * time.Millisecond, time.Millisecond, 0},                        // and set again
	} {
		if store.NoteClock(m.ahead, m.took); store.Ahead() != m.want {
			t.Errorf("after a measurement of %v in %v: got %v ahead, want %v", m.ahead, m.took, store.Ahead(), m.want)
		}
	}
}

// TestLeasesAreByTheServersClock has a machine whose clock is ten minutes ahead. It takes no run
// away from others, does not count as alive when it is not, and is listed as alive for as long as
// it is.
func TestLeasesAreByTheServersClock(t *testing.T) {
	const wrong = 10 * time.Minute
	name := schema(t)
	right, ahead := open(t, name), open(t, name)
	ahead.NoteClock(-wrong, 0)
	now := time.Now().UTC().Truncate(time.Microsecond)
	d := &store.DeploymentRecord{ID: uuid.New(), FlowID: store.FlowID("f"), Flow: "f", Name: "d", Digest: "1"}
	if _, err := right.RegisterDeployments(t.Context(), store.RegisterDeploymentsParams{Now: now, Deployments: []*store.DeploymentRecord{d}}); err != nil {
		t.Fatal(err)
	}
	serve := func(st *postgres.Store, name string, now time.Time) uuid.UUID {
		r := store.RunnerRecord{ID: uuid.New(), Name: name, Started: now, SeenAt: now, Until: now.Add(time.Minute)}
		if _, err := st.RegisterRunner(t.Context(), store.RegisterRunnerParams{Now: now, Runner: r, Deployments: []uuid.UUID{d.ID}}); err != nil {
			t.Fatal(err)
		}
		return r.ID
	}
	claim := func(st *postgres.Store, runner uuid.UUID, now time.Time) store.Claim {
		t.Helper()
		id := uuid.Must(uuid.NewV7())
		if _, err := st.CreateRun(t.Context(), store.CreateRunParams{Now: now, ID: id, DeploymentID: d.ID, ScheduledTime: now, DueTime: now}); err != nil {
			t.Fatal(err)
		}
		claims, err := st.ClaimRuns(t.Context(), store.ClaimRunsParams{Now: now, Runner: runner, ID: uuid.New(), Limit: 1, TTL: time.Minute})
		if err != nil || len(claims.Runs) != 1 {
			t.Fatalf("got %d claims and error %v, want 1", len(claims.Runs), err)
		}
		return claims.Runs[0]
	}
	reap := func(st *postgres.Store, now time.Time) store.ReapLeasesResult {
		t.Helper()
		reaped, err := st.ReapLeases(t.Context(), store.ReapLeasesParams{Now: now})
		if err != nil {
			t.Fatal(err)
		}
		return reaped
	}
	mine, theirs := serve(right, "right", now), serve(ahead, "ahead", now.Add(wrong))
	claim(right, mine, now)
	if reaped := reap(ahead, now.Add(wrong)); len(reaped.Runs) != 0 || !reaped.Next.Equal(now.Add(wrong+time.Minute)) {
		t.Errorf("the machine that is ahead: reaped %d runs, to come again at %v; want none, and a minute later", len(reaped.Runs), reaped.Next)
	}
	claim(ahead, theirs, now.Add(wrong))
	for _, store := range []*postgres.Store{right, ahead} {
		at := now
		if store == ahead {
			at = now.Add(wrong)
		}
		record, err := store.GetDeployment(t.Context(), d.ID)
		if err != nil {
			t.Fatal(err)
		}
		for _, server := range record.ServedBy {
			if !server.Until.Equal(at.Add(time.Minute)) {
				t.Errorf("%s: got served until %v, want %v", server.Name, server.Until, at.Add(time.Minute))
			}
		}
	}
	if reaped := reap(right, now.Add(61*time.Second)); len(reaped.Runs) != 2 {
		t.Errorf("got %d leases reaped after a minute, want both", len(reaped.Runs))
	}
}
