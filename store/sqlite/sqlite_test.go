package sqlite_test

import (
	"os"
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
	empty := emptyFile(t)
	storetest.Run(t, func(t *testing.T) store.Store {
		path := filepath.Join(t.TempDir(), "provost.db")
		if err := os.WriteFile(path, empty, 0o600); err != nil {
			t.Fatal(err)
		}
		return open(t, path)
	})
}

// emptyFile returns the content of a file without a run. A copy of it takes a fraction of the time
// that its tables take, of which hundreds of cases want their own.
func emptyFile(t *testing.T) []byte {
	t.Helper()
	path := filepath.Join(t.TempDir(), "empty.db")
	store, err := sqlite.Open(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	if err := store.Close(); err != nil {
		t.Fatal(err)
	}
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return content
}

func TestStoreInMemory(t *testing.T) {
	if testenv.Race && !testenv.Long() {
		t.Skip("the database is interpreted code, slow under the race detector; TestStoreInFile has the same cases")
	}
	t.Parallel()
	storetest.Run(t, func(t *testing.T) store.Store { return open(t, ":memory:") })
}
