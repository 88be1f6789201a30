package memory_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/provost-go/provost/store"
	"github.com/provost-go/provost/store/memory"
)

// BenchmarkLimit measures one run that is created, and one that is claimed and ends, while others
// wait for a limit of 10: alone, and in a group with another deployment that nobody serves. The
// cost should not depend on how many wait.
func BenchmarkLimit(b *testing.B) {
	for _, waiting := range []int{0, 100, 10_000} {
		for _, group := range []string{"", "shared"} {
			b.Run(fmt.Sprintf("%dWait%s", waiting, group), func(b *testing.B) { benchmarkLimit(b, waiting, group) })
		}
	}
}

func benchmarkLimit(b *testing.B, waiting int, group string) {
	ctx, now := context.Background(), time.Date(2026, 3, 2, 9, 0, 0, 0, time.UTC)
	st := memory.New()
	must := func(err error) {
		if err != nil {
			b.Helper()
			b.Fatal(err)
		}
	}
	declare := func(name string) *store.DeploymentRecord {
		return &store.DeploymentRecord{
			ID: uuid.New(), FlowID: uuid.NewSHA1(uuid.Nil, []byte("etl")), Flow: "etl", Name: name, Digest: name,
			ConcurrencyLimit: 10, LimitGroup: group, MaxWaiting: 1_000_000,
		}
	}
	served, idle := declare("served"), declare("idle")
	_, err := st.RegisterDeployments(ctx, store.RegisterDeploymentsParams{Now: now, Deployments: []*store.DeploymentRecord{served, idle}})
	must(err)
	runner := uuid.New()
	_, err = st.RegisterRunner(ctx, store.RegisterRunnerParams{
		Now: now, Runner: store.RunnerRecord{ID: runner, SeenAt: now, Until: now.Add(time.Hour)}, Deployments: []uuid.UUID{served.ID},
	})
	must(err)
	create := func(d *store.DeploymentRecord) {
		id, err := uuid.NewV7()
		must(err)
		_, err = st.CreateRun(ctx, store.CreateRunParams{Now: now, ID: id, DeploymentID: d.ID, ScheduledTime: now, DueTime: now})
		must(err)
	}
	for range waiting {
		create(idle)
		create(served)
	}
	for range 20 {
		create(served)
	}
	b.ReportAllocs()
	b.ResetTimer()
	for range b.N {
		create(served)
		claims, err := st.ClaimRuns(ctx, store.ClaimRunsParams{Now: now, Runner: runner, Limit: 1, TTL: time.Hour})
		must(err)
		errs, err := st.SettleRuns(ctx, store.SettleRunsParams{Now: now, Updates: []store.RunUpdate{{
			Lease: claims.Runs[0].Lease, StartTime: now, Attempt: 1, State: store.State{Type: store.StateCompleted, Timestamp: now},
		}}})
		must(err)
		if len(errs) > 0 {
			must(errs[0])
		}
	}
}
