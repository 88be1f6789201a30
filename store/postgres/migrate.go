package postgres

import (
	"context"
	"fmt"
	"strings"

	"github.com/provost-go/provost/store/internal/sqlstore"
)

// Migrate brings the tables up to date. Open and New call it. If several processes do at once, one
// migrates and the others wait.
func (s *Store) Migrate(ctx context.Context) error {
	err := s.retry(ctx, func() error {
		return s.transact(ctx, migrates, func(t *tx) error {
			known, err := t.schemaExists(s.schema)
			if err == nil && !known { // IF NOT EXISTS needs the right to create schemas even if this one exists
				err = t.now("CREATE SCHEMA " + s.spell.schema)
			}
			if err == nil {
				err = t.now("SET LOCAL search_path = " + s.spell.schema)
			}
			if err != nil {
				return err
			}
			return sqlstore.Migrate(unqualified{t}, dialect(s.schema))
		})
	})
	if err != nil {
		return fmt.Errorf("migrate: %w", err)
	}
	return nil
}

// migrates begins a migration. There is one at a time in the whole database.
var migrates = opening{"BEGIN", "SELECT pg_advisory_xact_lock(hashtextextended('provost migrate', 0))"}

func (t *tx) schemaExists(name string) (bool, error) {
	rows, err := t.query("SELECT nspname FROM pg_catalog.pg_namespace WHERE nspname = $1", []any{name})
	if err != nil {
		return false, err
	}
	exists := rows.Next()
	return exists, rows.Close()
}

// now executes a statement at once, as it is and without preparing it.
func (t *tx) now(statement string) error {
	if err := t.send(); err != nil {
		return err
	}
	_, err := t.session.Exec(t.ctx, statement)
	return err
}

// unqualified is a transaction that finds the tables by its search path.
type unqualified struct{ *tx }

// Exec implements [sqlstore.Tx].
func (u unqualified) Exec(query string, _ ...any) error { return u.now(query) }

// SQL returns the statements that Migrate executes in an empty database, for making the tables by
// hand.
func SQL() string {
	return "CREATE SCHEMA provost;\nSET search_path = provost;\n" + strings.Join(sqlstore.Statements(dialect("provost")), ";\n") + ";\n"
}

func dialect(schema string) sqlstore.Dialect {
	literal := "'" + strings.ReplaceAll(schema, "'", "''") + "'"
	return sqlstore.Dialect{
		Types: [3]string{sqlstore.ID: "uuid", sqlstore.Int: "bigint", sqlstore.Text: `text COLLATE "C"`},
		Known: "SELECT count(*) FROM pg_catalog.pg_tables WHERE schemaname = " + literal + " AND tablename = 'provost' || '_meta'",
		Tuning: []string{ // rows of provost_due live for moments, so dead ones should be removed soon
			`ALTER TABLE provost_due SET (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 5000,
				autovacuum_vacuum_cost_delay = 0)`,
		},
	}
}
