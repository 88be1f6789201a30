//go:build unix

package sqlite_test

import (
	"context"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/provost-go/provost"
	"github.com/provost-go/provost/store/internal/chaos"
	"github.com/provost-go/provost/store/sqlite"
)

func TestMain(m *testing.M) {
	chaos.Child(openPath)
	os.Exit(m.Run())
}

func openPath(ctx context.Context, path string) (provost.Store, func() error, error) {
	store, err := sqlite.Open(ctx, path)
	if err != nil {
		return nil, nil, err
	}
	return store, store.Close, nil
}

// TestChaos: processes that share a file are killed and stopped; nothing is lost and nothing is done twice. The long form is asked for by
// PROVOST_CHAOS=full, and takes ten minutes.
func TestChaos(t *testing.T) {
	c := chaos.Config{Processes: 4, Deployments: 30, Length: 12 * time.Second, Kills: time.Second}
	if full {
		c = chaos.Config{Processes: 8, Deployments: 200, Length: 10 * time.Minute, Kills: 500 * time.Millisecond}
	}
	t.Parallel()
	chaos.Run(t, openPath, filepath.Join(t.TempDir(), "provost.db"), c)
}
