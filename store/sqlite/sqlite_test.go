package sqlite_test

import (
	"path/filepath"
	"testing"

	"github.com/provost-go/provost/internal/testenv"
	"github.com/provost-go/provost/store"
	"github.com/provost-go/provost/store/sqlite"
	"github.com/provost-go/provost/storetest"
)

func open(t testing.TB, path string) *sqlite.Store {
	t.Helper()
	store, err := sqlite.Open(t.Context(), path)
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

func TestStoreInFile(t *testing.T) {
	t.Parallel()
	storetest.Run(t, func(t *testing.T) store.Store { return open(t, filepath.Join(t.TempDir(), "provost.db")) })
}

func TestStoreInMemory(t *testing.T) {
	if testenv.Race && !testenv.Long() {
		t.Skip("the database is interpreted code, slow under the race detector; TestStoreInFile has the same cases")
	}
	t.Parallel()
	storetest.Run(t, func(t *testing.T) store.Store { return open(t, ":memory:") })
}
