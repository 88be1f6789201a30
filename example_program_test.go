package provost_test

import (
	"context"
	"log"
	"os"
	"os/signal"
	"syscall"
	"time"
	_ "time/tzdata"

	"github.com/provost-go/provost"
)

type ReportParams struct {
	Region string    `json:"region" default:"eu" enum:"eu,us" description:"Sales region"`
	Since  time.Time `json:"since,omitzero"`
}

type Summary struct {
	Region string `json:"region"`
	Orders int    `json:"orders"`
}

func makeReport(ctx context.Context, p ReportParams) (Summary, error) {
	provost.Logger(ctx).Info("counting orders", "region", p.Region)
	return Summary{Region: p.Region, Orders: 42}, nil
}

func nightly() *provost.Deployment {
	return &provost.Deployment{
		Flow:       provost.NewFlow("report", makeReport),
		Name:       "nightly",
		Schedules:  []provost.Schedule{provost.Cron("0 2 * * *").In("Europe/Berlin")},
		Parameters: provost.Params{"region": "us"},
		Tags:       []string{"finance"},
	}
}

func Example_program() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // the first Ctrl-C drains, a second one kills at once
	if err := provost.Serve(ctx, nightly()); err != nil {
		log.Fatal(err)
	}
}
