package provost_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/provost-go/provost"
)

// Start a run with other parameters, wait for it and read what it returned.
func ExampleClient_RunDeployment() {
	report := provost.NewFlow("report", makeReport)
	runner := &provost.Runner{Store: provost.NewMemoryStore(), Logger: slog.New(slog.DiscardHandler)}
	ctx, stop := context.WithCancel(context.Background())
	defer stop()
	served := make(chan error, 1)
	go func() { served <- runner.Serve(ctx, &provost.Deployment{Flow: report, Name: "manual"}) }()
	<-runner.Ready()

	client := provost.NewClient(runner.Store)
	_, err := client.RunDeployment(ctx, "report/manual", &provost.RunOptions{Parameters: provost.Params{"region": "mars"}})
	var refused *provost.ParamError
	fmt.Println(errors.As(err, &refused), refused.Path)

	run, err := client.RunDeployment(ctx, "report/manual", &provost.RunOptions{
		Parameters: report.Params(ReportParams{Region: "us"}),
		Tags:       []string{"by-hand"},
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	run, err = client.Wait(ctx, run.ID)
	fmt.Println(run.State, run.Tags, err)
	fmt.Println(report.Result(run))

	stop()
	fmt.Println(<-served)
	// Output:
	// true region
	// Completed [by-hand] <nil>
	// {us 42} <nil>
	// <nil>
}

// A run that has not begun is cancelled at once; the context of a running one ends.
func ExampleClient_CancelRun() {
	ctx := context.Background()
	client := provost.NewClient(provost.NewMemoryStore())
	if _, err := client.Deploy(ctx, nightly()); err != nil {
		fmt.Println(err)
		return
	}
	tomorrow := &provost.RunOptions{ScheduledTime: time.Now().Add(24 * time.Hour)}
	run, err := client.RunDeployment(ctx, "report/nightly", tomorrow)
	if err != nil {
		fmt.Println(err)
		return
	}
	run, err = client.CancelRun(ctx, run.ID, nil)
	fmt.Println(run.State, err)
	run, err = client.CancelRun(ctx, run.ID, nil) // asking twice does no harm
	fmt.Println(run.State, err)
	// Output:
	// Cancelled: cancelled by a client <nil>
	// Cancelled: cancelled by a client <nil>
}

// A paused deployment has no upcoming runs; those made by hand still run.
func ExampleClient_PauseDeployment() {
	ctx := context.Background()
	client := provost.NewClient(provost.NewMemoryStore())
	if _, err := client.Deploy(ctx, nightly()); err != nil {
		fmt.Println(err)
		return
	}
	upcoming := func() {
		runs, err := client.UpcomingRuns(ctx, "report/nightly", 3)
		fmt.Println(len(runs), err)
	}
	upcoming()
	fmt.Println(client.PauseDeployment(ctx, "report/nightly"))
	upcoming()
	fmt.Println(client.ResumeDeployment(ctx, "report/nightly"))
	upcoming()
	// Output:
	// 3 <nil>
	// <nil>
	// 0 <nil>
	// <nil>
	// 3 <nil>
}

func ExampleClient_UpcomingRuns() {
	ctx := context.Background()
	client := provost.NewClient(provost.NewMemoryStore())
	once := time.Date(2100, 1, 1, 12, 0, 0, 0, time.UTC)
	_, err := client.Deploy(ctx, &provost.Deployment{
		Flow:      provost.NewFlow("report", makeReport),
		Name:      "once",
		Schedules: []provost.Schedule{provost.At(once).WithParameters(provost.Params{"region": "us"}).Named("centenary")},
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	runs, err := client.UpcomingRuns(ctx, "report/once", 10)
	for _, run := range runs {
		fmt.Println(run.ScheduledTime, run.Schedule, run.Parameters)
	}
	fmt.Println(err)
	// Output:
	// 2100-01-01 12:00:00 +0000 UTC centenary map[region:us]
	// <nil>
}

// Backfill makes the runs of a time that has passed. Asked again, it makes none.
func ExampleClient_Backfill() {
	ctx := context.Background()
	client := provost.NewClient(provost.NewMemoryStore())
	if _, err := client.Deploy(ctx, nightly()); err != nil {
		fmt.Println(err)
		return
	}
	from := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	for range 2 {
		runs, err := client.Backfill(ctx, "report/nightly", from, from.AddDate(0, 0, 3))
		fmt.Println(len(runs), err)
		for _, run := range runs {
			fmt.Println(run.ScheduledTime, run.State)
		}
	}
	// Output:
	// 3 <nil>
	// 2026-01-01 01:00:00 +0000 UTC Scheduled: backfill
	// 2026-01-02 01:00:00 +0000 UTC Scheduled: backfill
	// 2026-01-03 01:00:00 +0000 UTC Scheduled: backfill
	// 0 <nil>
}
