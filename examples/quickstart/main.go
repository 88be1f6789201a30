// Quickstart serves a greeting every second, and another one each night, until Ctrl-C.
package main

import (
	"context"
	"log"
	"os/signal"
	"syscall"
	"time"
	_ "time/tzdata" // so that every machine has the zone below

	"github.com/provost-go/provost"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // the first Ctrl-C drains, a second one kills at once
	greet := provost.NewJob("greet", func(ctx context.Context) error {
		provost.Logger(ctx).Info("hello")
		return nil
	})
	everySecond := &provost.Deployment{Flow: greet, Name: "every-second", Schedules: []provost.Schedule{provost.Every(time.Second)}}
	nightly := &provost.Deployment{Flow: greet, Name: "nightly", Schedules: []provost.Schedule{provost.Cron("0 2 * * *").In("Europe/Berlin")}}
	if err := provost.Serve(ctx, everySecond, nightly); err != nil {
		log.Fatal(err)
	}
}
