package sqlite

import (
	"context"
	"fmt"
	"strings"

	"github.com/provost-go/provost/store/internal/sqlstore"
)

// Migrate brings the tables up to date. Open and New call it. If several processes do at once, one
// migrates and the others wait.
func (s *Store) Migrate(ctx context.Context) error {
	err := s.writer.submit(ctx, sqlstore.Urgent, func(t sqlstore.Tx) error { return sqlstore.Migrate(t, dialect) })
	if err != nil {
		return fmt.Errorf("migrate: %w", err)
	}
	return nil
}

// SQL returns the statements that Migrate executes in an empty database, for making the tables by
// hand.
func SQL() string { return strings.Join(sqlstore.Statements(dialect), ";\n") + ";\n" }

var dialect = sqlstore.Dialect{Types: [3]string{"BLOB", "INTEGER", "TEXT"}, Suffix: " WITHOUT ROWID", Known: `SELECT count(*) FROM sqlite_master
	WHERE type = 'table' AND name = 'provost_meta'`}
