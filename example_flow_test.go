package provost_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/provost-go/provost"
)

type OrderParams struct {
	Region  string        `json:"region" default:"eu" enum:"eu,us"`
	Largest *int          `json:"largest,omitempty"`
	Window  time.Duration `json:"window" default:"24h"`
}

// A flow with parameters and a result. Both types are inferred.
func ExampleNewFlow() {
	count := provost.NewFlow("count", func(ctx context.Context, p OrderParams) (int, error) {
		return len(p.Region), nil
	})
	count.Retries, count.RetryDelay = 3, time.Minute
	count.Timeout = 10 * time.Minute

	// Outside a run, Run is a plain call.
	fmt.Println(count.Run(context.Background(), OrderParams{Region: "eu"}))
	// Output: 2 <nil>
}

// A flow with parameters and no result.
func ExampleNewAction() {
	clean := provost.NewAction("clean", func(ctx context.Context, p OrderParams) error {
		fmt.Println("cleaning", p.Region)
		return nil
	})
	_, err := clean.Run(context.Background(), OrderParams{Region: "us"})
	fmt.Println(err)
	// Output:
	// cleaning us
	// <nil>
}

// A flow with neither parameters nor a result.
func ExampleNewJob() {
	ping := provost.NewJob("ping", func(ctx context.Context) error {
		fmt.Println("still here")
		return nil
	})
	d := &provost.Deployment{Flow: ping, Name: "hourly", Schedules: []provost.Schedule{provost.Every(time.Hour)}}
	fmt.Println(d.Handle(), d.Validate())
	// Output: ping/hourly <nil>
}

// Zero fields are left out, so that the defaults and the deployment's parameters show through. A
// pointer sends an explicit zero.
func ExampleFlow_Params() {
	count := provost.NewFlow("count", func(ctx context.Context, p OrderParams) (int, error) { return 0, nil })
	fmt.Println(count.Params(OrderParams{Region: "us"}))
	fmt.Println(count.Params(OrderParams{Largest: new(int), Window: 90 * time.Minute}))
	// Output:
	// map[region:us]
	// map[largest:0 window:1h30m0s]
}

// Decode fills in defaults. Its error names the parameter that does not fit.
func ExampleFlow_Decode() {
	count := provost.NewFlow("count", func(ctx context.Context, p OrderParams) (int, error) { return 0, nil })
	p, err := count.Decode(provost.Params{"region": "us"})
	fmt.Println(p.Region, p.Window, err)

	_, err = count.Decode(provost.Params{"window": true})
	var refused *provost.ParamError
	fmt.Println(errors.As(err, &refused) && refused.Path == "window")
	// Output:
	// us 24h0m0s <nil>
	// true
}

// A flow that runs inside another one is a child run with its own retries. It ends with its parent.
func ExampleFlow_Run() {
	square := provost.NewFlow("square", func(ctx context.Context, p struct{ N int }) (int, error) {
		return p.N * p.N, nil
	})
	sum := provost.NewFlow("sum", func(ctx context.Context, _ provost.None) (total int, err error) {
		for n := range 4 {
			s, err := square.Run(ctx, struct{ N int }{n})
			if err != nil {
				return 0, err
			}
			total += s
		}
		return total, nil
	})

	runner := &provost.Runner{Store: provost.NewMemoryStore(), Logger: slog.New(slog.DiscardHandler)}
	ctx, stop := context.WithCancel(context.Background())
	defer stop()
	served := make(chan error, 1)
	go func() { served <- runner.Serve(ctx, &provost.Deployment{Flow: sum, Name: "manual"}) }()
	<-runner.Ready()

	client := provost.NewClient(runner.Store)
	parent, err := client.RunDeployment(ctx, "sum/manual", nil)
	if err != nil {
		fmt.Println(err)
		return
	}
	parent, err = client.Wait(ctx, parent.ID)
	fmt.Println(parent.State, err)
	fmt.Println(sum.Result(parent))
	children, err := client.CountRuns(ctx, provost.RunFilter{ParentID: parent.ID, Flow: "square"})
	fmt.Println(children, "child runs", err)

	stop()
	fmt.Println(<-served)
	// Output:
	// Completed <nil>
	// 14 <nil>
	// 4 child runs <nil>
	// <nil>
}

// Another attempt helps with some errors and not with others.
func ExamplePermanent() {
	attempts := 0
	ship := provost.NewJob("ship", func(ctx context.Context) error {
		if attempts++; attempts == 1 {
			return errors.New("connection refused")
		}
		return provost.Permanent(errors.New("there is no order 7"))
	})
	ship.Retries = 10
	ship.Backoff = provost.ExponentialBackoff(time.Millisecond, time.Second)

	runner := &provost.Runner{Store: provost.NewMemoryStore(), Logger: slog.New(slog.DiscardHandler)}
	ctx, stop := context.WithCancel(context.Background())
	defer stop()
	served := make(chan error, 1)
	go func() { served <- runner.Serve(ctx, &provost.Deployment{Flow: ship, Name: "order-7"}) }()
	<-runner.Ready()

	client := provost.NewClient(runner.Store)
	run, err := client.RunDeployment(ctx, "ship/order-7", nil)
	if err != nil {
		fmt.Println(err)
		return
	}
	run, err = client.Wait(ctx, run.ID)
	fmt.Println(run.State, "in attempt", run.Attempt, err)

	stop()
	fmt.Println(<-served)
	// Output:
	// Failed: there is no order 7 in attempt 2 <nil>
	// <nil>
}

// The delay doubles up to a bound. A random part of up to a half is subtracted, so that runs that
// failed together do not start again together.
func ExampleExponentialBackoff() {
	backoff := provost.ExponentialBackoff(time.Second, time.Minute)
	for _, attempt := range []int{1, 2, 3, 1_000_000} {
		delay := backoff(attempt, nil)
		longest := min(time.Second<<min(attempt-1, 10), time.Minute)
		fmt.Println(attempt, delay >= longest/2 && delay <= longest, "up to", longest)
	}
	// Output:
	// 1 true up to 1s
	// 2 true up to 2s
	// 3 true up to 4s
	// 1000000 true up to 1m0s
}
