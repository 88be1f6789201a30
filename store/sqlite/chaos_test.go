//go:build unix

package sqlite_test

import (
	"context"
	"os"
	"path/filepath"
	"testing"

	"github.com/provost-go/provost/store"
	"github.com/provost-go/provost/store/internal/chaos"
	"github.com/provost-go/provost/store/sqlite"
)

func TestMain(m *testing.M) {
	chaos.Main(openPath)
	if path := os.Getenv(busyVariable); path != "" {
		os.Exit(busyProcess(path))
	}
	os.Exit(m.Run())
}

func openPath(ctx context.Context, path string) (store.Store, func() error, error) {
	store, err := sqlite.Open(ctx, path)
	if err != nil {
		return nil, nil, err
	}
	return store, store.Close, nil
}

// TestChaos kills and stops processes that share a file. Nothing is lost, and nothing is done
// twice. PROVOST_CHAOS sets the length: "long" takes two minutes, "full" ten.
func TestChaos(t *testing.T) {
	t.Parallel()
	chaos.Run(t, openPath, filepath.Join(t.TempDir(), "provost.db"), chaos.Scale())
}

// TestOneMigration has processes open one missing file at once. They make its tables once.
func TestOneMigration(t *testing.T) {
	t.Parallel()
	rounds := 2
	if full {
		rounds = 50
	}
	for range rounds {
		chaos.OpenAtOnce(t, filepath.Join(t.TempDir(), "provost.db"), 20)
	}
}
