package provost_test

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/provost-go/provost"
	"github.com/provost-go/provost/store"
)

func TestCancelAndRetryMessages(t *testing.T) {
	bubble(t, func(t *testing.T) {
		ctx := t.Context()
		f := provost.NewJob("f", func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() })
		c, stop := serveFlow(t, f)
		defer stop()
		later := &provost.RunOptions{ScheduledTime: time.Now().Add(time.Hour)}
		for _, options := range []*provost.CancelOptions{nil, {}} {
			run, err := c.CancelRun(ctx, request(t, c, "f/d", later).ID, options)
			if err != nil || run.State.Message != "cancelled by a client" {
				t.Errorf("cancelled with %v: %v, %v", options, run, err)
			}
		}
		run, err := c.CancelRun(ctx, request(t, c, "f/d", later).ID, &provost.CancelOptions{Message: "not needed, says Jo"})
		if err != nil {
			t.Fatal(err)
		}
		wantState(t, run, provost.StateCancelled, "not needed, says Jo")
		run, err = c.CancelRun(ctx, run.ID, &provost.CancelOptions{Message: "not at all"})
		if err != nil {
			t.Fatal(err)
		}
		wantState(t, run, provost.StateCancelled, "not needed, says Jo")
		run, err = c.RetryRun(ctx, run.ID, &provost.RetryOptions{Message: "needed, says Jo"})
		if err != nil {
			t.Fatal(err)
		}
		wantState(t, run, provost.StateScheduled, "needed, says Jo")
		time.Sleep(time.Second)
		run, err = c.CancelRun(ctx, run.ID, &provost.CancelOptions{Message: "enough"})
		if err != nil {
			t.Fatal(err)
		}
		wantState(t, run, provost.StateCancelling, "enough")
		run = wait(t, c, run.ID)
		wantState(t, run, provost.StateCancelled)
		for _, options := range []*provost.RetryOptions{nil, {}} {
			if run, err = c.RetryRun(ctx, run.ID, options); err != nil || run.State.Message != "retried by a client" {
				t.Errorf("retried with %v: %v, %v", options, run, err)
			}
			if _, err = c.CancelRun(ctx, run.ID, nil); err != nil {
				t.Fatal(err)
			}
			run = wait(t, c, run.ID)
		}
		for message, want := range map[string]string{
			strings.Repeat("x", 1001): "has 1001 bytes; shorten it to at most 1000",
			"two\nlines":              "control character",
			"\xff":                    "not valid UTF-8",
		} {
			_, err = c.CancelRun(ctx, run.ID, &provost.CancelOptions{Message: message})
			wantError(t, err, "provost: cancel run "+run.ID.String(), "Message", want)
			_, err = c.RetryRun(ctx, run.ID, &provost.RetryOptions{Message: message})
			wantError(t, err, "provost: retry run "+run.ID.String(), "Message", want)
		}
		if _, err = c.RetryRun(ctx, run.ID, &provost.RetryOptions{Message: strings.Repeat("x", 1000)}); err != nil {
			t.Error(err)
		}
	})
}

func TestPruneRuns(t *testing.T) {
	bubble(t, func(t *testing.T) {
		ctx, st := t.Context(), &pruned{Store: provost.NewMemoryStore()}
		c := provost.NewClient(st.Store)
		stop := start(t, &provost.Runner{Store: st.Store}, job("a", nothing), job("b", nothing), job("gone", nothing))
		var ids []uuid.UUID
		for range 450 {
			for _, flow := range []string{"a", "b"} {
				ids = append(ids, request(t, c, flow+"/d", nil).ID)
			}
			time.Sleep(time.Second)
		}
		wait(t, c, request(t, c, "gone/d", nil).ID)
		for _, id := range ids {
			wait(t, c, id)
		}
		clean(t, stop)
		if err := c.DeleteDeployment(ctx, "gone/d"); err != nil {
			t.Fatal(err)
		}
		unstarted := request(t, c, "a/d", nil)
		prune := func(want int, handle string, r provost.Retention) {
			t.Helper()
			if n, err := provost.NewClient(st).PruneRuns(ctx, handle, r); n != want || err != nil {
				t.Errorf("PruneRuns(%q, %+v) = %d, %v, want %d", handle, r, n, err, want)
			}
		}
		left := func(flow string, want int) {
			t.Helper()
			if n, err := c.CountRuns(ctx, provost.RunFilter{Flow: flow}); n != want || err != nil {
				t.Errorf("%d runs of %s are left, %v, want %d", n, flow, err, want)
			}
		}
		prune(0, "a/d", provost.Retention{Age: time.Hour})
		prune(0, "a/d", provost.Retention{Runs: 450})
		prune(430, "a/d", provost.Retention{Runs: 20})
		left("a", 21)
		left("b", 450)
		prune(405, "", provost.Retention{Age: 45 * time.Second})
		left("a", 21)
		left("b", 45)
		if len(st.steps) < 7 || slices.Max(st.steps) != 200 {
			t.Errorf("the steps deleted %d runs, want at most 200 in one", st.steps)
		}
		time.Sleep(time.Second)
		prune(1, "gone/d", provost.Retention{Age: time.Microsecond}) // its deployment is deleted
		prune(65, "", provost.Retention{Age: time.Microsecond, Runs: 1000})
		left("a", 1)
		get(t, c, unstarted.ID)
		left("", 1)
	})
}

func TestPruneRunsIsRefused(t *testing.T) {
	ctx, c := t.Context(), provost.NewClient(provost.NewMemoryStore())
	if _, err := c.Deploy(ctx, &provost.Deployment{Flow: order, Name: "d"}); err != nil {
		t.Fatal(err)
	}
	_, err := c.PruneRuns(ctx, "order/d", provost.Retention{})
	wantError(t, err, "provost: prune runs: order/d: Retention: is zero", "set Age, Runs or both")
	_, err = c.PruneRuns(ctx, "", provost.Retention{Age: -1, Runs: -2})
	wantError(t, err, "all deployments: Retention.Age: is -1ns", "Retention.Runs: is -2")
	_, err = c.PruneRuns(ctx, "order", provost.Retention{Runs: 1})
	wantError(t, err, `"order"`, "flow/deployment")
	_, err = c.PruneRuns(ctx, "order/x", provost.Retention{Runs: 1})
	wantIs(t, err, provost.ErrNotFound)
	wantError(t, err, "order/x")
	ended, cancel := context.WithCancel(ctx)
	cancel()
	_, err = c.PruneRuns(ended, "", provost.Retention{Runs: 1})
	wantIs(t, err, context.Canceled)
}

// A step that fails leaves the count of those before it.
func TestPruneRunsCountsWhatItDeletedBeforeAFailure(t *testing.T) {
	bubble(t, func(t *testing.T) {
		st := &pruned{Store: provost.NewMemoryStore(), fails: 3}
		c := provost.NewClient(st)
		if _, err := c.Deploy(t.Context(), &provost.Deployment{Flow: order, Name: "d"}); err != nil {
			t.Fatal(err)
		}
		for range 500 {
			if _, err := c.CancelRun(t.Context(), request(t, c, "order/d", nil).ID, nil); err != nil {
				t.Fatal(err)
			}
		}
		n, err := c.PruneRuns(t.Context(), "order/d", provost.Retention{Runs: 1})
		if n != 400 || !errors.Is(err, errFaulty) {
			t.Errorf("PruneRuns = %d, %v", n, err)
		}
	})
}

// pruned is a store that notes how many runs each step deletes, and fails after some.
type pruned struct {
	provost.Store
	steps []int
	fails int // the step that fails, from 1; 0 for none
}

func (s *pruned) PruneRuns(ctx context.Context, p store.PruneRunsParams) (int, error) {
	if len(s.steps)+1 == s.fails {
		return 0, errFaulty
	}
	n, err := s.Store.PruneRuns(ctx, p)
	s.steps = append(s.steps, n)
	return n, err
}

// collect returns what an iterator yields until its first error, called key.
func collect[T any](items iter.Seq2[T, error], key func(T) string) (keys []string, err error) {
	for item, err := range items {
		if err != nil {
			return keys, err
		}
		keys = append(keys, key(item))
	}
	return keys, nil
}

func TestAllPages(t *testing.T) {
	bubble(t, func(t *testing.T) {
		ctx, c := t.Context(), provost.NewClient(provost.NewMemoryStore())
		var flows, handles, runs []string
		for i := range 7 {
			flow := provost.NewJob(fmt.Sprint("f", i), nothing)
			d := &provost.Deployment{Flow: flow, Name: "d", Schedules: []provost.Schedule{provost.Every(time.Hour)}}
			if _, err := c.Deploy(ctx, d); err != nil {
				t.Fatal(err)
			}
			flows, handles = append(flows, flow.Name), append(handles, d.Handle())
			runs = append(runs, request(t, c, d.Handle(), nil).ID.String())
			time.Sleep(time.Second)
		}
		newest := slices.Clone(runs)
		slices.Reverse(newest)
		id := func(run *provost.Run) string { return run.ID.String() }
		check := func(what string, got []string, err error, want []string) {
			t.Helper()
			if err != nil || !slices.Equal(got, want) {
				t.Errorf("%s: %q, %v, want %q", what, got, err, want)
			}
		}
		for _, limit := range []int{0, 1, 3, 7} {
			got, err := collect(c.AllFlows(ctx, provost.FlowFilter{Limit: limit}), func(f *provost.FlowRecord) string { return f.Name })
			check("flows", got, err, flows)
			got, err = collect(c.AllDeployments(ctx, provost.DeploymentFilter{Limit: limit}), (*provost.DeploymentRecord).Handle)
			check("deployments", got, err, handles)
			all := c.AllRuns(ctx, provost.RunFilter{Limit: limit})
			for range 2 { // the iterator can be ranged over again
				got, err = collect(all, id)
				check("runs", got, err, newest)
			}
			got, err = collect(c.AllRuns(ctx, provost.RunFilter{Limit: limit, Sort: provost.OldestFirst}), id)
			check("runs, oldest first", got, err, runs)
			got, err = collect(c.AllRuns(ctx, provost.RunFilter{Limit: limit, Deployment: "f3/d"}), id)
			check("runs of a deployment", got, err, runs[3:4])
		}
		page, err := c.ListRuns(ctx, provost.RunFilter{Limit: 2})
		if err != nil {
			t.Fatal(err)
		}
		got, err := collect(c.AllRuns(ctx, provost.RunFilter{Limit: 2, Cursor: page.Next}), id)
		check("runs from a cursor", got, err, newest[2:])
		for range c.AllRuns(ctx, provost.RunFilter{Limit: 2}) {
			break
		}
		_, err = collect(c.AllRuns(ctx, provost.RunFilter{Cursor: "x"}), id)
		wantError(t, err, `"x"`)
		_, err = collect(c.AllRuns(ctx, provost.RunFilter{Deployment: "f3"}), id)
		wantError(t, err, `"f3"`, "flow/deployment")
		ended, cancel := context.WithCancel(ctx)
		defer cancel()
		n := 0
		for _, err = range c.AllRuns(ended, provost.RunFilter{Limit: 2}) {
			cancel()
			n++
		}
		if wantIs(t, err, context.Canceled); n != 3 {
			t.Errorf("%d yields, want the first page and the error", n)
		}
	})
}

func TestAllSkips(t *testing.T) {
	bubble(t, func(t *testing.T) {
		st := provost.NewMemoryStore()
		c := provost.NewClient(st)
		serve := func() func() error {
			return start(t, &provost.Runner{Store: st},
				job("a", nothing, provost.Every(time.Hour).CatchUp(provost.CatchUpNone)), job("b", nothing, provost.Every(time.Hour).CatchUp(provost.CatchUpNone)))
		}
		for range 5 {
			clean(t, serve())
			time.Sleep(10*time.Hour + 30*time.Minute) // more than is materialised
			stop := serve()
			time.Sleep(time.Hour) // a run between two gaps
			clean(t, stop)
		}
		key := func(s provost.Skip) string { return s.DeploymentID.String() + s.First.String() }
		count := map[string]int{}
		for _, handle := range []string{"", "a/d", "b/d"} {
			want, err := c.ListSkips(t.Context(), provost.SkipFilter{Deployment: handle})
			if err != nil || want.Next != "" {
				t.Fatal(want, err)
			}
			got, err := collect(c.AllSkips(t.Context(), provost.SkipFilter{Deployment: handle, Limit: 2}), key)
			if err != nil || len(got) != len(want.Items) {
				t.Errorf("%d skips of %q, %v, want %d", len(got), handle, err, len(want.Items))
			}
			for i, skip := range want.Items {
				if i < len(got) && got[i] != key(skip) {
					t.Errorf("skip %d of %q is %s, want %s", i, handle, got[i], key(skip))
				}
			}
			count[handle] = len(got)
		}
		if count["a/d"] < 3 || count["a/d"]+count["b/d"] != count[""] {
			t.Errorf("the deployments have %v skips", count)
		}
		_, err := c.ListSkips(t.Context(), provost.SkipFilter{Deployment: "a"})
		wantError(t, err, `"a"`, "flow/deployment")
	})
}

func TestListRunners(t *testing.T) {
	bubble(t, func(t *testing.T) {
		st := provost.NewMemoryStore()
		c := provost.NewClient(st)
		names := func() (names []string) {
			runners, err := c.ListRunners(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			for _, r := range runners {
				if r.Until.Before(time.Now()) || r.Deployments != 1 {
					t.Errorf("runner %+v", r)
				}
				names = append(names, r.Name)
			}
			slices.Sort(names)
			return names
		}
		if got := names(); len(got) != 0 {
			t.Errorf("runners %q before any has started", got)
		}
		first := start(t, &provost.Runner{Store: st, Name: "first"}, job("f", nothing))
		second := start(t, &provost.Runner{Store: st, Name: "second"}, job("f", nothing))
		time.Sleep(time.Hour)
		if got := names(); !slices.Equal(got, []string{"first", "second"}) {
			t.Errorf("runners are %q", got)
		}
		clean(t, first)
		if got := names(); !slices.Equal(got, []string{"second"}) {
			t.Errorf("runners are %q after the first has left", got)
		}
		clean(t, second)
	})
}
