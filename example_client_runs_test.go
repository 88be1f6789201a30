package provost_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/provost-go/provost"
)

// serve serves deployments from a memory store until stop is called.
func serve(deployments ...*provost.Deployment) (client *provost.Client, stop func()) {
	runner := &provost.Runner{Store: provost.NewMemoryStore(), Name: "worker-1", Logger: slog.New(slog.DiscardHandler)}
	ctx, cancel := context.WithCancel(context.Background())
	served := make(chan error, 1)
	go func() { served <- runner.Serve(ctx, deployments...) }()
	<-runner.Ready()
	return provost.NewClient(runner.Store), func() {
		cancel()
		<-served
	}
}

// Another service starts a run with typed parameters, and reads its result when it needs it.
func ExampleStart() {
	report := provost.NewFlow("report", makeReport)
	client, stop := serve(&provost.Deployment{Flow: report, Name: "manual"})
	defer stop()

	ctx := context.Background()
	run, err := provost.Start(ctx, client, report, "manual", ReportParams{Region: "us"})
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(run.Flow, run.Deployment, run.Parameters)

	run, err = client.Wait(ctx, run.ID)
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(report.Result(run))
	// Output:
	// report manual map[region:us]
	// {us 42} <nil>
}

// RunAndWait calls a flow in whatever process serves it.
func ExampleRunAndWait() {
	report := provost.NewFlow("report", makeReport)
	client, stop := serve(&provost.Deployment{Flow: report, Name: "manual"})
	defer stop()

	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	summary, err := provost.RunAndWait(ctx, client, report, "manual", ReportParams{Region: "us"})
	var failed *provost.RunError
	switch {
	case errors.As(err, &failed):
		fmt.Println("the run ended in state", failed.State)
	case err != nil:
		fmt.Println(err)
	default:
		fmt.Println(summary.Region, summary.Orders)
	}
	// Output: us 42
}

// A cancelled, failed or crashed run can run again, with a message that says why.
func ExampleClient_RetryRun() {
	ctx := context.Background()
	client := provost.NewClient(provost.NewMemoryStore())
	if _, err := client.Deploy(ctx, nightly()); err != nil {
		fmt.Println(err)
		return
	}
	run, err := client.RunDeployment(ctx, "report/nightly", nil)
	if err != nil {
		fmt.Println(err)
		return
	}
	run, err = client.CancelRun(ctx, run.ID, &provost.CancelOptions{Message: "the database moves"})
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(run.State)
	run, err = client.RetryRun(ctx, run.ID, &provost.RetryOptions{Message: "the database has moved"})
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(run.State)
	// Output:
	// Cancelled: the database moves
	// Scheduled: the database has moved
}

// Read the warnings of a run that is finished.
func ExampleClient_Logs() {
	load := provost.NewJob("load", func(ctx context.Context) error {
		provost.Logger(ctx).Info("connected")
		provost.Logger(ctx).Warn("row left out", "row", 7)
		provost.Logger(ctx).Info("loaded")
		return nil
	})
	client, stop := serve(&provost.Deployment{Flow: load, Name: "manual"})
	defer stop()

	ctx := context.Background()
	run, err := client.RunDeployment(ctx, "load/manual", nil)
	if err != nil {
		fmt.Println(err)
		return
	}
	for line, err := range client.Logs(ctx, run.ID, &provost.LogOptions{Follow: true, MinLevel: slog.LevelWarn}) {
		if err != nil {
			fmt.Println(err)
			return
		}
		fmt.Println(line.Seq, line.Level, line.Message)
	}
	// Output: 2 WARN row left out row=7
}

// AllRuns reads page after page, as the loop asks for them.
func ExampleClient_AllRuns() {
	ctx := context.Background()
	client := provost.NewClient(provost.NewMemoryStore())
	if _, err := client.Deploy(ctx, nightly()); err != nil {
		fmt.Println(err)
		return
	}
	for i := range 5 {
		if _, err := client.RunDeployment(ctx, "report/nightly", &provost.RunOptions{Name: fmt.Sprint("run-", i)}); err != nil {
			fmt.Println(err)
			return
		}
	}
	filter := provost.RunFilter{Deployment: "report/nightly", Sort: provost.OldestFirst, Limit: 2} // two on a page
	for run, err := range client.AllRuns(ctx, filter) {
		if err != nil {
			fmt.Println(err)
			return
		}
		if !run.AutoScheduled {
			fmt.Println(run.Name, run.State)
		}
	}
	// Output:
	// run-0 Scheduled
	// run-1 Scheduled
	// run-2 Scheduled
	// run-3 Scheduled
	// run-4 Scheduled
}

func ExampleClient_AllDeployments() {
	ctx := context.Background()
	client := provost.NewClient(provost.NewMemoryStore())
	report := provost.NewFlow("report", makeReport)
	for _, name := range []string{"weekly", "nightly"} {
		if _, err := client.Deploy(ctx, &provost.Deployment{Flow: report, Name: name}); err != nil {
			fmt.Println(err)
			return
		}
	}
	for deployment, err := range client.AllDeployments(ctx, provost.DeploymentFilter{Flow: "report"}) {
		if err != nil {
			fmt.Println(err)
			return
		}
		fmt.Println(deployment.Handle())
	}
	// Output:
	// report/nightly
	// report/weekly
}

func ExampleClient_AllFlows() {
	ctx := context.Background()
	client := provost.NewClient(provost.NewMemoryStore())
	for _, name := range []string{"report", "backup"} {
		flow := provost.NewJob(name, func(context.Context) error { return nil })
		if _, err := client.Deploy(ctx, &provost.Deployment{Flow: flow, Name: "nightly"}); err != nil {
			fmt.Println(err)
			return
		}
	}
	for flow, err := range client.AllFlows(ctx, provost.FlowFilter{}) {
		if err != nil {
			fmt.Println(err)
			return
		}
		fmt.Println(flow.Name)
	}
	// Output:
	// backup
	// report
}

// Which runners are alive?
func ExampleClient_ListRunners() {
	client, stop := serve(nightly())
	defer stop()
	runners, err := client.ListRunners(context.Background())
	if err != nil {
		fmt.Println(err)
		return
	}
	for _, runner := range runners {
		if runner.Until.After(time.Now()) {
			fmt.Println(runner.Name, "serves", runner.Deployments, "deployment")
		}
	}
	// Output: worker-1 serves 1 deployment
}

// Keep the newest two runs of a deployment.
func ExampleClient_PruneRuns() {
	client, stop := serve(&provost.Deployment{Flow: provost.NewFlow("report", makeReport), Name: "manual"})
	defer stop()
	ctx := context.Background()
	for range 5 {
		run, err := client.RunDeployment(ctx, "report/manual", nil)
		if err != nil {
			fmt.Println(err)
			return
		}
		if _, err := client.Wait(ctx, run.ID); err != nil {
			fmt.Println(err)
			return
		}
	}
	fmt.Println(client.PruneRuns(ctx, "report/manual", provost.Retention{Runs: 2}))
	fmt.Println(client.CountRuns(ctx, provost.RunFilter{Deployment: "report/manual"}))
	// Output:
	// 3 <nil>
	// 2 <nil>
}

// What was missed while nobody served the deployment can be made up for.
func ExampleClient_AllSkips() {
	ctx := context.Background()
	client := provost.NewClient(provost.NewMemoryStore())
	for skip, err := range client.AllSkips(ctx, provost.SkipFilter{Deployment: "report/nightly"}) {
		if err != nil {
			fmt.Println(err)
			return
		}
		if skip.Reason != provost.SkipMissed {
			continue
		}
		fmt.Println(skip.Count, "instants were missed from", skip.First, "to", skip.Last)
		if _, err := client.Backfill(ctx, "report/nightly", skip.First.Add(-time.Second), skip.Last); err != nil {
			fmt.Println(err)
			return
		}
	}
}

// A page of skips, and the cursor of the next one: for a page of a web site, say.
func ExampleClient_ListSkips() {
	ctx := context.Background()
	client := provost.NewClient(provost.NewMemoryStore())
	page, err := client.ListSkips(ctx, provost.SkipFilter{Deployment: "report/nightly", Limit: 20})
	fmt.Println(len(page.Items), page.Next == "", err)
	// Output: 0 true <nil>
}
