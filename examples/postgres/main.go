// Postgres serves deployments from PostgreSQL. Start it several times, on one machine or several:
// the processes share the work, each scheduled instant runs once, and when a process is killed,
// another one takes over its runs.
//
//	docker compose -f examples/postgres/compose.yaml up -d
//	go run ./examples/postgres
//
// With your own server:
//
//	createdb provost
//	go run ./examples/postgres -dsn postgres://localhost/provost
package main

import (
	"context"
	"errors"
	"flag"
	"log"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/provost-go/provost"
	"github.com/provost-go/provost/store/postgres"
)

func main() {
	dsn := flag.String("dsn", "postgres://provost:provost@localhost:54320/provost", "URL of the database")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := serve(ctx, *dsn); err != nil {
		log.Fatal(err)
	}
}

func serve(ctx context.Context, dsn string) (err error) {
	store, err := postgres.Open(ctx, dsn)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, store.Close()) }()
	return (&provost.Runner{Store: store}).Serve(ctx, ticks())
}

func ticks() *provost.Deployment {
	return &provost.Deployment{
		Flow:      provost.NewJob("tick", tick),
		Name:      "shared",
		Schedules: []provost.Schedule{provost.Every(2 * time.Second)},
	}
}

func tick(ctx context.Context) error {
	run, _ := provost.RunFromContext(ctx)
	provost.Logger(ctx).Info("tick", "of", run.ScheduledTime.Format(time.TimeOnly), "process", os.Getpid())
	return nil
}
