package postgres

import (
	"context"
	"fmt"
	"strings"

	"github.com/jackc/pgx/v5"

	"github.com/provost-go/provost/store/internal/ledger"
)

// Migrate brings the tables up to date. Open and New do it; one of several processes that come at once does it, the others wait.
func (s *Store) Migrate(ctx context.Context) error {
	err := s.retry(ctx, func() error {
		return s.transact(ctx, pgx.TxOptions{}, func(t *tx) error {
			if _, err := t.Tx.Exec(ctx, "SELECT pg_advisory_xact_lock(hashtextextended('provost migrate', 0))"); err != nil {
				return err
			}
			var known int
			if err := t.Tx.QueryRow(ctx, "SELECT count(*) FROM pg_catalog.pg_namespace WHERE nspname = $1", s.schema).Scan(&known); err != nil {
				return err
			}
			if known == 0 { // IF NOT EXISTS would ask for the right to make schemas also where this one is there
				if _, err := t.Tx.Exec(ctx, "CREATE SCHEMA "+s.spell.schema); err != nil {
					return err
				}
			}
			if _, err := t.Tx.Exec(ctx, "SET LOCAL search_path = "+s.spell.schema); err != nil {
				return err
			}
			return ledger.Migrate(unqualified{t}, dialect(s.schema))
		})
	})
	if err != nil {
		return fmt.Errorf("migrate: %w", err)
	}
	return nil
}

// unqualified is a transaction whose search path leads to the tables.
type unqualified struct{ *tx }

// Exec implements [ledger.Tx].
func (u unqualified) Exec(query string, args ...any) (int64, error) {
	tag, err := u.Tx.Exec(u.ctx, query, args...)
	return tag.RowsAffected(), err
}

// SQL is what Migrate executes in an empty database, for those who make tables by hand.
func SQL() string {
	return "CREATE SCHEMA provost;\nSET search_path = provost;\n" + strings.Join(ledger.Statements(dialect("provost")), ";\n") + ";\n"
}

func dialect(schema string) ledger.Dialect {
	literal := "'" + strings.ReplaceAll(schema, "'", "''") + "'"
	return ledger.Dialect{
		Types: [3]string{ledger.ID: "uuid", ledger.Int: "bigint", ledger.Text: `text COLLATE "C"`},
		Known: "SELECT count(*) FROM pg_catalog.pg_tables WHERE schemaname = " + literal + " AND tablename = 'provost' || '_meta'",
		Tuning: []string{ // rows of due live for moments; what they leave behind is to be cleared soon
			`ALTER TABLE provost_due SET (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 5000,
				autovacuum_vacuum_cost_delay = 0)`,
		},
	}
}
