package provost_test

import (
	"context"
	"fmt"
	"log/slog"

	"github.com/provost-go/provost"
)

type MirrorParams struct {
	Bucket   string                 `json:"bucket"`
	Token    provost.Secret[string] `json:"token"`
	Password string                 `json:"password" secret:"true"` // the same, for a plain type
}

// The flow reads its secrets; nobody who looks at its runs does.
func ExampleSecret() {
	mirror := provost.NewAction("mirror", func(ctx context.Context, p MirrorParams) error {
		fmt.Println("the flow sees", p.Token.Reveal(), "and prints", p.Token)
		return fmt.Errorf("GET https://store.example/%s?token=%s: 403", p.Bucket, p.Token.Reveal())
	})
	runner := &provost.Runner{Store: provost.NewMemoryStore(), Logger: slog.New(slog.DiscardHandler)}
	ctx, stop := context.WithCancel(context.Background())
	defer stop()
	served := make(chan error, 1)
	go func() {
		served <- runner.Serve(ctx, &provost.Deployment{
			Flow: mirror, Name: "manual",
			Parameters: provost.Params{"bucket": "images", "token": provost.NewSecret("t0p-s3cret")}, // for example from a vault
		})
	}()
	<-runner.Ready()

	client := provost.NewClient(runner.Store)
	run, err := client.RunDeployment(ctx, "mirror/manual", nil)
	if err != nil {
		fmt.Println(err)
		return
	}
	run, err = client.Wait(ctx, run.ID)
	fmt.Println(run.Parameters, err)
	fmt.Println(run.State)
	run, err = client.RevealSecrets().GetRun(ctx, run.ID)
	fmt.Println(run.Parameters, err)

	_, err = client.RunDeployment(ctx, "mirror/manual", &provost.RunOptions{Parameters: provost.Params{"token": "***"}})
	fmt.Println(err)

	stop()
	fmt.Println(<-served)
	// Output:
	// the flow sees t0p-s3cret and prints ***
	// map[bucket:images token:***] <nil>
	// Failed: GET https://store.example/images?token=***: 403
	// map[bucket:images token:t0p-s3cret] <nil>
	// provost: run mirror/manual: parameter token: you sent "***", which stands for a secret, back in its place; leave token out to keep what is set, or send the value
	// <nil>
}
