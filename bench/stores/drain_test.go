package stores_test

import (
	"context"
	"database/sql"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/riverqueue/river"
	"github.com/riverqueue/river/riverdriver"
	"github.com/riverqueue/river/riverdriver/riverpgxv5"
	"github.com/riverqueue/river/riverdriver/riversqlite"
	"github.com/riverqueue/river/rivermigrate"

	"github.com/provost-go/provost"
	"github.com/provost-go/provost/store/postgres"
	"github.com/provost-go/provost/store/sqlite"
)

// BenchmarkDrain measures b.N waiting runs that do nothing, from the start of the runner to the
// last stored end. provost stores each claim before the function begins, and each end with its
// history. River is tuned as far as its settings allow: 2,000 workers that fetch every 2 ms. Both
// sync every commit.
//
//	go test -run '^$' -bench Drain -benchtime 100000x -count 3 -timeout 1h ./stores | go run ./cmd/ratios
func BenchmarkDrain(b *testing.B) {
	b.Run("PostgreSQL/provost", func(b *testing.B) {
		store, err := postgres.Config{Schema: schema(b)}.Open(b.Context(), dsn(b))
		if err != nil {
			b.Fatal(err)
		}
		defer store.Close()
		drain(b, store)
	})
	b.Run("PostgreSQL/river", func(b *testing.B) {
		config, err := pgxpool.ParseConfig(dsn(b))
		if err != nil {
			b.Fatal(err)
		}
		config.MaxConns = 20
		pool, err := pgxpool.NewWithConfig(b.Context(), config)
		if err != nil {
			b.Fatal(err)
		}
		defer pool.Close()
		drainRiver(b, riverpgxv5.New(pool), schema(b))
	})
	b.Run("SQLite/provost", func(b *testing.B) {
		store, err := sqlite.Open(b.Context(), filepath.Join(b.TempDir(), "provost.db"))
		if err != nil {
			b.Fatal(err)
		}
		defer store.Close()
		drain(b, store)
	})
	b.Run("SQLite/river", func(b *testing.B) {
		pragmas := "?_pragma=journal_mode(WAL)&_pragma=synchronous(FULL)&_pragma=busy_timeout(5000)&_txlock=immediate"
		db, err := sql.Open("sqlite", "file:"+filepath.Join(b.TempDir(), "river.db")+pragmas)
		if err != nil {
			b.Fatal(err)
		}
		defer db.Close()
		db.SetMaxOpenConns(1) // required by River's documentation
		drainRiver(b, riversqlite.New(db), "")
	})
}

func drain(b *testing.B, store provost.Store) {
	var left atomic.Int64
	left.Store(int64(b.N))
	finished := make(chan struct{})
	flow := provost.NewJob("noop", func(context.Context) error {
		if left.Add(-1) == 0 {
			close(finished)
		}
		return nil
	})
	deployment := &provost.Deployment{Flow: flow, Name: "bench"}
	client := provost.NewClient(store)
	if _, err := client.Deploy(b.Context(), deployment); err != nil {
		b.Fatal(err)
	}
	var callers sync.WaitGroup
	var made atomic.Int64
	for range 50 {
		callers.Go(func() {
			for made.Add(1) <= int64(b.N) {
				if _, err := client.RunDeployment(b.Context(), "noop/bench", nil); err != nil {
					b.Error(err)
					return
				}
			}
		})
	}
	callers.Wait()
	ctx, stop := context.WithCancel(b.Context())
	defer stop()
	served := make(chan error, 1)
	b.ResetTimer()
	go func() {
		served <- (&provost.Runner{Store: store, Limit: 2000, Logger: discard}).Serve(ctx, deployment)
	}()
	<-finished
	stop() // Serve returns once every end is stored
	if err := <-served; err != nil {
		b.Fatal(err)
	}
	b.StopTimer()
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "runs/s")
	n, err := client.CountRuns(b.Context(), provost.RunFilter{States: []provost.StateType{provost.StateCompleted}})
	if err != nil || n != b.N {
		b.Errorf("got %d completed runs and error %v, want %d", n, err, b.N)
	}
}

type noopArgs struct{}

func (noopArgs) Kind() string { return "noop" }

type noopWorker struct {
	river.WorkerDefaults[noopArgs]
}

func (noopWorker) Work(context.Context, *river.Job[noopArgs]) error { return nil }

// newRiver returns a client of River, after it has made its tables.
func newRiver[T any](t testing.TB, driver riverdriver.Driver[T], schema string) *river.Client[T] {
	t.Helper()
	migrator, err := rivermigrate.New(driver, &rivermigrate.Config{Schema: schema, Logger: discard})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := migrator.Migrate(t.Context(), rivermigrate.DirectionUp, nil); err != nil {
		t.Fatal(err)
	}
	workers := river.NewWorkers()
	river.AddWorker(workers, noopWorker{})
	client, err := riverClient(driver, schema, workers)
	if err != nil {
		t.Fatal(err)
	}
	return client
}

// riverClient returns a client of River with its fastest settings.
func riverClient[T any](driver riverdriver.Driver[T], schema string, workers *river.Workers) (*river.Client[T], error) {
	return river.NewClient(driver, &river.Config{
		Schema: schema, Workers: workers, Queues: map[string]river.QueueConfig{river.QueueDefault: {MaxWorkers: 2000}},
		FetchCooldown: 2 * time.Millisecond, FetchPollInterval: 20 * time.Millisecond, Logger: discard,
	})
}

func drainRiver[T any](b *testing.B, driver riverdriver.Driver[T], schema string) {
	client := newRiver(b, driver, schema)
	for left := b.N; left > 0; left -= 5000 {
		jobs := make([]river.InsertManyParams, min(left, 5000))
		for i := range jobs {
			jobs[i].Args = noopArgs{}
		}
		if _, err := client.InsertManyFast(b.Context(), jobs); err != nil {
			b.Fatal(err)
		}
	}
	ended, unsubscribe := client.SubscribeConfig(&river.SubscribeConfig{ChanSize: b.N, Kinds: []river.EventKind{river.EventKindJobCompleted}})
	defer unsubscribe()
	b.ResetTimer()
	if err := client.Start(b.Context()); err != nil {
		b.Fatal(err)
	}
	for range b.N {
		<-ended
	}
	b.StopTimer()
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "runs/s")
	if err := client.Stop(b.Context()); err != nil {
		b.Fatal(err)
	}
}
