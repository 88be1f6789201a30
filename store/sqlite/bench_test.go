package sqlite_test

import (
	"path/filepath"
	"testing"

	"github.com/provost-go/provost/store"
	"github.com/provost-go/provost/store/internal/storebench"
	"github.com/provost-go/provost/store/sqlite"
)

// BenchmarkThroughput measures with and without waiting for the disk at each commit.
//
//	go test -run '^$' -bench Throughput -benchtime 100000x ./store/sqlite
func BenchmarkThroughput(b *testing.B) {
	b.Run("FULL", func(b *testing.B) { storebench.Throughput(b, open(b, filepath.Join(b.TempDir(), "provost.db"))) })
	b.Run("NORMAL", func(b *testing.B) { storebench.Throughput(b, openRelaxed(b)) })
}

// BenchmarkClaim measures claims in files with up to a million runs.
//
//	go test -run '^$' -bench Claim -benchtime 300x -timeout 1h ./store/sqlite
func BenchmarkClaim(b *testing.B) {
	storebench.Claim(b, func(b *testing.B) storebench.Database { return storebench.Database{Store: openRelaxed(b)} })
}

func openRelaxed(b *testing.B) store.Store {
	store, err := sqlite.Config{Relaxed: true}.Open(b.Context(), filepath.Join(b.TempDir(), "provost.db"))
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		if err := store.Close(); err != nil {
			b.Error(err)
		}
	})
	return store
}
