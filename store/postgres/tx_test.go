package postgres_test

import (
	"testing"

	"github.com/provost-go/provost/store/internal/sqlstore"
)

// number selects a number, so that the answer shows which query it belongs to.
func number(t *testing.T, tx sqlstore.Tx, n int64) {
	t.Helper()
	rows, err := tx.Query("SELECT ?::bigint", n)
	if err != nil {
		t.Fatal(err)
	}
	var got int64
	for rows.Next() {
		if err := rows.Scan(&got); err != nil {
			t.Fatal(err)
		}
	}
	if err := rows.Close(); err != nil || got != n {
		t.Errorf("got %d and error %v, want %d", got, err, n)
	}
}

func TestPrefetchedQueriesAreAnsweredAsAsked(t *testing.T) {
	store := open(t, schema(t))
	for name, asked := range map[string][]int64{
		"all":             {1, 2, 3, 4},
		"none":            {1, 5, 6},
		"the first":       {1, 2, 5, 3},
		"in another turn": {1, 3, 2},
	} {
		t.Run(name, func(t *testing.T) {
			err := store.Transact(t.Context(), func(tx sqlstore.Tx) error {
				tx.(sqlstore.Prefetcher).Prefetch("SELECT ?::bigint", int64(2))
				tx.(sqlstore.Prefetcher).Prefetch("SELECT ?::bigint", int64(3))
				for _, n := range asked {
					number(t, tx, n)
				}
				return nil
			})
			if err != nil {
				t.Error(err)
			}
		})
	}
}

func TestLastQueryCommits(t *testing.T) {
	name := schema(t)
	store := open(t, name)
	pool := connect(t)
	behind := func() (value int64) {
		t.Helper()
		if err := pool.QueryRow(t.Context(), "SELECT value FROM "+name+".provost_meta WHERE name = 'behind'").Scan(&value); err != nil {
			t.Fatal(err)
		}
		return value
	}
	err := store.Transact(t.Context(), func(tx sqlstore.Tx) error {
		if err := tx.Exec("UPDATE provost_meta SET value = 7 WHERE name = 'behind'"); err != nil {
			return err
		}
		tx.(sqlstore.Prefetcher).CommitNext()
		tx.(sqlstore.Prefetcher).Prefetch("SELECT ?::bigint", int64(2))
		number(t, tx, 1)
		number(t, tx, 2)
		if err := tx.Exec("UPDATE provost_meta SET value = 8 WHERE name = 'behind'"); err == nil {
			t.Error("a statement after the last query: got no error")
		}
		if _, err := tx.Query("SELECT ?::bigint", int64(3)); err == nil {
			t.Error("a query after the last one: got no error")
		}
		return nil
	})
	if got := behind(); err != nil || got != 7 {
		t.Errorf("got value %d and error %v, want 7", got, err)
	}
	err = store.Transact(t.Context(), func(tx sqlstore.Tx) error {
		if err := tx.Exec("UPDATE provost_meta SET value = 9 WHERE name = 'behind'"); err != nil {
			return err
		}
		tx.(sqlstore.Prefetcher).CommitNext()
		rows, err := tx.Query("SELECT 1 / ?::bigint", int64(0))
		if err != nil {
			return err
		}
		for rows.Next() {
		}
		return rows.Close()
	})
	if got := behind(); err == nil || got != 7 {
		t.Errorf("after a last query that failed: got value %d and error %v, want 7 and an error", got, err)
	}
}
