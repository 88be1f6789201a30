package provost_test

import (
	"context"
	"fmt"
	"log"
	"log/slog"
	"time"

	"github.com/provost-go/provost"
)

func Example() {
	greet := provost.NewFlow("greet", func(_ context.Context, p struct {
		Name string `json:"name" default:"world"`
	},
	) (string, error) {
		return "hello, " + p.Name, nil
	})

	runner := &provost.Runner{Store: provost.NewMemoryStore(), Logger: slog.New(slog.DiscardHandler)}
	ctx, stop := context.WithTimeout(context.Background(), 300*time.Millisecond)
	defer stop()
	if err := runner.Serve(ctx, &provost.Deployment{Flow: greet, Name: "once", RunOnStart: true}); err != nil {
		log.Fatal(err)
	}

	runs, err := provost.NewClient(runner.Store).ListRuns(context.Background(), provost.RunFilter{})
	if err != nil {
		log.Fatal(err)
	}
	for _, run := range runs.Items {
		greeting, err := greet.Result(run)
		fmt.Println(run.State, "-", greeting, err)
	}
	// Output: Completed - hello, world <nil>
}
