package postgres_test

import (
	"context"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/provost-go/provost/store/internal/storebench"
)

// BenchmarkThroughput measures with a server that waits for the disk at each commit.
//
//	go test -run '^$' -bench Throughput -benchtime 100000x ./store/postgres
func BenchmarkThroughput(b *testing.B) { storebench.Throughput(b, open(b, schema(b))) }

// BenchmarkClaim measures claims in schemas with up to a million runs.
//
//	go test -run '^$' -bench Claim -benchtime 300x -timeout 1h ./store/postgres
func BenchmarkClaim(b *testing.B) {
	storebench.Claim(b, func(b *testing.B) storebench.Database {
		name, pool := schema(b), connect(b)
		exec := func(tx interface {
			Exec(context.Context, string, ...any) (pgconn.CommandTag, error)
		}, statement string,
		) {
			b.Helper()
			if _, err := tx.Exec(b.Context(), statement); err != nil {
				b.Fatal(err)
			}
		}
		return storebench.Database{
			Store: open(b, name),
			Rest: func() {
				for _, table := range []string{"due", "run", "end"} {
					exec(pool, "VACUUM ANALYZE "+name+".provost_"+table)
				}
				exec(pool, "CHECKPOINT")
			},
			Snapshot: func() (end func()) {
				tx, err := pool.BeginTx(b.Context(), pgx.TxOptions{IsoLevel: pgx.RepeatableRead})
				if err != nil {
					b.Fatal(err)
				}
				exec(tx, "SELECT count(*) FROM "+name+".provost_due")
				return func() {
					if err := tx.Rollback(context.WithoutCancel(b.Context())); err != nil {
						b.Error(err)
					}
				}
			},
		}
	})
}
