package stores_test

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/riverqueue/river"
	"github.com/riverqueue/river/riverdriver/riverpgxv5"

	"github.com/provost-go/provost"
	"github.com/provost-go/provost/store/postgres"
)

// The environment variables of a process of BenchmarkStart: what it executes, and the schema that
// it uses.
const (
	whoseVariable  = "PROVOST_BENCH_START"
	schemaVariable = "PROVOST_BENCH_SCHEMA"
)

func TestMain(m *testing.M) {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	var err error
	switch os.Getenv(whoseVariable) {
	case "":
		os.Exit(m.Run())
	case "provost":
		err = startServer(ctx, os.Getenv(schemaVariable))
	case "river":
		err = startRiver(ctx, os.Getenv(schemaVariable))
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// BenchmarkStart measures b.N runs that another process executes, made one after another at about
// 20 runs/s: the time from before the call to the first line of the function.
//
//	go test -run '^$' -bench Start -benchtime 200x -count 3 ./stores
func BenchmarkStart(b *testing.B) {
	b.Run("PostgreSQL/provost", func(b *testing.B) {
		name := schema(b)
		store, err := postgres.Config{Schema: name}.Open(b.Context(), dsn(b))
		if err != nil {
			b.Fatal(err)
		}
		defer store.Close()
		client := provost.NewClient(store)
		measureStarts(b, "provost", name, func() error {
			_, err := client.RunDeployment(b.Context(), "start/bench", nil)
			return err
		})
	})
	b.Run("PostgreSQL/river", func(b *testing.B) {
		name := schema(b)
		pool, err := pgxpool.New(b.Context(), dsn(b))
		if err != nil {
			b.Fatal(err)
		}
		defer pool.Close()
		client := newRiver(b, riverpgxv5.New(pool), name)
		measureStarts(b, "river", name, func() error {
			_, err := client.Insert(b.Context(), noopArgs{}, nil)
			return err
		})
	})
}

// began prints the time for the first process: this one is ready, or a run has begun.
func began() { fmt.Println(time.Now().UnixNano()) }

func measureStarts(b *testing.B, whose, schema string, ask func() error) {
	cmd := exec.CommandContext(b.Context(), os.Args[0])
	cmd.Env = append(os.Environ(), whoseVariable+"="+whose, schemaVariable+"="+schema)
	cmd.Stderr = os.Stderr
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
	out, err := cmd.StdoutPipe()
	if err != nil {
		b.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		b.Fatal(err)
	}
	defer func() {
		_ = cmd.Process.Signal(os.Interrupt)
		if err := cmd.Wait(); err != nil {
			b.Error(err)
		}
	}()
	lines := bufio.NewScanner(out)
	next := func() time.Time {
		if !lines.Scan() {
			b.Fatalf("the other process ended early: %v", lines.Err())
		}
		nanoseconds, err := strconv.ParseInt(lines.Text(), 10, 64)
		if err != nil {
			b.Fatal(err)
		}
		return time.Unix(0, nanoseconds)
	}
	next()
	var took []time.Duration
	const first = 5 // not counted: they have new connections, without prepared statements
	for i := range b.N + first {
		time.Sleep(40*time.Millisecond + time.Duration(i%12)*2*time.Millisecond) // not in step with any polling
		asked := time.Now()
		if err := ask(); err != nil {
			b.Fatal(err)
		}
		took = append(took, next().Sub(asked))
	}
	took = took[first:]
	slices.Sort(took)
	b.ReportMetric(0, "ns/op")
	b.ReportMetric(float64(took[len(took)/2].Microseconds())/1000, "p50-ms")
	b.ReportMetric(float64(took[len(took)*99/100].Microseconds())/1000, "p99-ms")
	b.ReportMetric(float64(took[len(took)-1].Microseconds())/1000, "max-ms")
}

func startServer(ctx context.Context, schema string) error {
	store, err := postgres.Config{Schema: schema}.Open(ctx, os.Getenv(server))
	if err != nil {
		return err
	}
	defer store.Close()
	flow := provost.NewJob("start", func(context.Context) error { began(); return nil })
	runner := &provost.Runner{Store: store, Logger: discard}
	go func() {
		<-runner.Ready()
		began()
	}()
	return runner.Serve(ctx, &provost.Deployment{Flow: flow, Name: "bench"})
}

type startWorker struct {
	river.WorkerDefaults[noopArgs]
}

func (startWorker) Work(context.Context, *river.Job[noopArgs]) error { began(); return nil }

func startRiver(ctx context.Context, schema string) error {
	pool, err := pgxpool.New(ctx, os.Getenv(server))
	if err != nil {
		return err
	}
	defer pool.Close()
	workers := river.NewWorkers()
	river.AddWorker(workers, startWorker{})
	client, err := riverClient(riverpgxv5.New(pool), schema, workers)
	if err != nil {
		return err
	}
	if err := client.Start(ctx); err != nil {
		return err
	}
	began()
	<-ctx.Done()
	stopping, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	return client.Stop(stopping)
}
