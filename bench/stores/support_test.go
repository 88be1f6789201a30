// Package stores compares the durable stores of provost with River, in one run, and checks that
// their leases are linearizable.
package stores_test

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"log/slog"
	"os"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
)

// server is the environment variable with the URL of a PostgreSQL in which the user may create
// schemas.
const server = "PROVOST_POSTGRES"

func dsn(t testing.TB) string {
	t.Helper()
	url := os.Getenv(server)
	if url == "" {
		if os.Getenv("CI") != "" {
			t.Fatalf("%s is not set", server)
		}
		t.Skip("set " + server + " to the URL of a PostgreSQL in which the user may create schemas: postgres://user@host/database")
	}
	return url
}

// schema creates a schema, which is dropped after the test, and returns its name.
func schema(t testing.TB) string {
	t.Helper()
	var random [8]byte
	rand.Read(random[:])
	name := "bench_" + hex.EncodeToString(random[:])
	execute(t, t.Context(), "CREATE SCHEMA "+name)
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		execute(t, ctx, "DROP SCHEMA "+name+" CASCADE")
	})
	return name
}

func execute(t testing.TB, ctx context.Context, statement string) {
	t.Helper()
	conn, err := pgx.Connect(ctx, dsn(t))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(ctx)
	if _, err := conn.Exec(ctx, statement); err != nil {
		t.Fatal(err)
	}
}

var discard = slog.New(slog.DiscardHandler)
