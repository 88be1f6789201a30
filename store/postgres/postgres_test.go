package postgres_test

import (
	"context"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/provost-go/provost/store"
	"github.com/provost-go/provost/store/postgres"
	"github.com/provost-go/provost/storetest"
)

// server is the environment variable with the URL of a PostgreSQL for tests.
const server = "PROVOST_POSTGRES"

// dsn returns the URL of the PostgreSQL for tests. Without one it skips the test, or fails it in
// CI.
func dsn(t testing.TB) string {
	t.Helper()
	url := os.Getenv(server)
	if url == "" && os.Getenv("CI") != "" {
		t.Fatal(server + " is not set")
	}
	if url == "" {
		t.Skip("set " + server + " to the URL of a PostgreSQL in which the user may create schemas: postgres://user@host/database")
	}
	return url
}

// connect returns a pool of the test's own.
func connect(t testing.TB) *pgxpool.Pool {
	t.Helper()
	pool, err := pgxpool.New(t.Context(), dsn(t))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(pool.Close)
	return pool
}

// schema returns the name of a schema of the test's own, which is dropped after it.
func schema(t testing.TB) string {
	t.Helper()
	return longSchema(t, 37)
}

// longSchema is schema with a name of a given length.
func longSchema(t testing.TB, length int) string {
	t.Helper()
	name := "test_" + strings.ReplaceAll(uuid.NewString(), "-", "")
	name += strings.Repeat("x", length-len(name))
	url := dsn(t)
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		conn, err := pgx.Connect(ctx, url)
		if err != nil {
			t.Error(err)
			return
		}
		defer conn.Close(ctx)
		if _, err := conn.Exec(ctx, "DROP SCHEMA IF EXISTS "+name+" CASCADE"); err != nil {
			t.Error(err)
		}
	})
	return name
}

// open returns a store in a schema.
func open(t testing.TB, schema string) *postgres.Store {
	t.Helper()
	store, err := postgres.Config{Schema: schema}.Open(t.Context(), dsn(t))
	return opened(t, store, err)
}

// openTraced returns a store whose connections have a tracer.
func openTraced(t *testing.T, schema string, tracer *tracer) *postgres.Store {
	t.Helper()
	config, err := pgxpool.ParseConfig(dsn(t))
	if err != nil {
		t.Fatal(err)
	}
	config.ConnConfig.Tracer = tracer
	pool, err := pgxpool.NewWithConfig(t.Context(), config)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(pool.Close)
	store, err := postgres.Config{Schema: schema}.New(t.Context(), pool)
	return opened(t, store, err)
}

// tracer sees what is sent to the server together, and is called once a pipeline is answered.
// Either function may be nil.
type tracer struct {
	sent     func(conn *pgx.Conn, statements []string)
	answered func()
}

func (tr *tracer) TraceQueryStart(ctx context.Context, conn *pgx.Conn, data pgx.TraceQueryStartData) context.Context {
	if tr.sent != nil {
		tr.sent(conn, []string{data.SQL})
	}
	return ctx
}

func (tr *tracer) TraceBatchStart(ctx context.Context, conn *pgx.Conn, data pgx.TraceBatchStartData) context.Context {
	if tr.sent != nil {
		var statements []string
		for _, queued := range data.Batch.QueuedQueries {
			statements = append(statements, queued.SQL)
		}
		tr.sent(conn, statements)
	}
	return ctx
}

func (tr *tracer) TraceBatchEnd(context.Context, *pgx.Conn, pgx.TraceBatchEndData) {
	if tr.answered != nil {
		tr.answered()
	}
}

func (*tracer) TraceQueryEnd(context.Context, *pgx.Conn, pgx.TraceQueryEndData)     {}
func (*tracer) TraceBatchQuery(context.Context, *pgx.Conn, pgx.TraceBatchQueryData) {}

// opened returns a store that was just opened, and closes it after the test.
func opened(t testing.TB, store *postgres.Store, err error) *postgres.Store {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := store.Close(); err != nil {
			t.Error(err)
		}
	})
	return store
}

// TestStore runs the conformance suite, and checks the plans of the queries that it makes.
func TestStore(t *testing.T) {
	t.Parallel()
	var asked queries
	t.Run("contract", func(t *testing.T) {
		storetest.Run(t, func(t *testing.T) store.Store {
			return openTraced(t, schema(t), &tracer{sent: asked.add})
		})
	})
	asked.check(t)
}
