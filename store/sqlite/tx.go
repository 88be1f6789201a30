package sqlite

import (
	"context"
	"database/sql"
	"fmt"
	"strings"

	"github.com/google/uuid"

	"github.com/provost-go/provost/store/internal/sqlstore"
)

// executor executes statements on a connection.
type executor interface {
	exec(ctx context.Context, query string, args []any) error
	query(ctx context.Context, query string, args []any) (sqlstore.Rows, error)
}

// maxCached bounds how many prepared statements a connection keeps.
const maxCached = 500

// through executes statements in a transaction of package database/sql.
type through struct{ tx *sql.Tx }

func (t through) exec(ctx context.Context, query string, args []any) error {
	_, err := t.tx.ExecContext(ctx, query, args...)
	return err
}

func (t through) query(ctx context.Context, query string, args []any) (sqlstore.Rows, error) {
	rows, err := t.tx.QueryContext(ctx, query, args...)
	if err != nil {
		return nil, err // not a nil *sql.Rows in an interface
	}
	return rows, nil
}

// tx is a transaction as package sqlstore sees it.
type tx struct {
	executor
	ctx   context.Context
	state sqlstore.State
}

var _ sqlstore.Tx = (*tx)(nil)

// Locks implements [sqlstore.Tx]. It returns false: a writer locks the whole file.
func (t *tx) Locks() bool { return false }

// State implements [sqlstore.Tx].
func (t *tx) State() *sqlstore.State { return &t.state }

// do executes an operation that has the transaction to itself.
func (t *tx) do(operation func(sqlstore.Tx) error) error {
	err := operation(t)
	if err == nil {
		err = t.state.Flush()
	}
	return err
}

// Query implements [sqlstore.Tx].
func (t *tx) Query(query string, args ...any) (sqlstore.Rows, error) {
	query, args = spell(query, args)
	return t.query(t.ctx, query, args)
}

// Exec implements [sqlstore.Tx].
func (t *tx) Exec(query string, args ...any) error {
	query, args = spell(query, args)
	return t.exec(t.ctx, query, args)
}

// batches are the numbers of rows that one statement inserts. They are few, so that few statements
// are prepared.
var batches = [...]int{64, 16, 4, 1}

// Insert implements [sqlstore.Tx].
func (t *tx) Insert(into *sqlstore.Table, rows [][]any) error {
	for _, n := range batches {
		for len(rows) >= n {
			args := make([]any, 0, n*len(into.Columns))
			for _, row := range rows[:n] {
				for _, v := range row {
					args = append(args, value(v))
				}
			}
			if err := t.exec(t.ctx, insertion(into, n), args); err != nil {
				return fmt.Errorf("insert into %s: %w", into.Name, err)
			}
			rows = rows[n:]
		}
	}
	return nil
}

// insertion returns the statement that inserts n rows.
func insertion(into *sqlstore.Table, n int) string {
	row := "(" + strings.TrimSuffix(strings.Repeat("?, ", len(into.Columns)), ", ") + ")"
	return "INSERT INTO " + into.Name + " VALUES " + strings.TrimSuffix(strings.Repeat(row+", ", n), ", ")
}

// Update implements [sqlstore.Tx].
func (t *tx) Update(table *sqlstore.Table, columns []string, rows [][]any) error {
	query := "UPDATE " + table.Name + " SET " + strings.Join(columns, " = ?, ") + " = ? WHERE "
	for i, c := range table.Columns[:table.Key] {
		if i > 0 {
			query += " AND "
		}
		query += c.Name + " = ?"
	}
	args := make([]any, 0, len(columns)+table.Key)
	for _, row := range rows {
		args = args[:0]
		for _, v := range row[table.Key:] {
			args = append(args, value(v))
		}
		for _, v := range row[:table.Key] {
			args = append(args, value(v))
		}
		if err := t.exec(t.ctx, query, args); err != nil {
			return fmt.Errorf("update %s: %w", table.Name, err)
		}
	}
	return nil
}

// spell translates a query of package sqlstore for SQLite: it removes the clauses that lock rows,
// and gives a list as many question marks as it has values.
func spell(query string, args []any) (string, []any) {
	for _, lock := range [...]string{" FOR UPDATE", " FOR NO KEY UPDATE", " FOR KEY SHARE"} {
		if i := strings.Index(query, lock); i >= 0 {
			query = query[:i]
		}
	}
	flat := make([]any, 0, len(args))
	for _, arg := range args {
		switch list := arg.(type) {
		case []uuid.UUID:
			query = spread(query, len(list))
			for _, id := range list {
				flat = append(flat, id[:])
			}
			flat = fill(flat, len(list))
		case []string:
			query = spread(query, len(list))
			for _, text := range list {
				flat = append(flat, text)
			}
			flat = fill(flat, len(list))
		default:
			flat = append(flat, value(arg))
		}
	}
	return query, flat
}

// listSize returns the number of question marks for a list of n values: a power of two, so that few
// statements are prepared.
func listSize(n int) int {
	size := 1
	for size < n {
		size *= 2
	}
	return size
}

// spread replaces the first "(?*)" by question marks for n values.
func spread(query string, n int) string {
	return strings.Replace(query, "(?*)", "("+strings.TrimSuffix(strings.Repeat("?, ", listSize(n)), ", ")+")", 1)
}

// fill repeats the last value of a list until it has as many as question marks. A list without
// values gets a NULL, which equals nothing in any column.
func fill(args []any, n int) []any {
	if n == 0 {
		return append(args, nil)
	}
	for size := listSize(n); n < size; n++ {
		args = append(args, args[len(args)-1])
	}
	return args
}

// value returns an argument as it is stored: an ID as 16 bytes.
func value(v any) any {
	switch v := v.(type) {
	case uuid.UUID:
		return v[:]
	case uuid.NullUUID:
		if !v.Valid {
			return nil
		}
		return v.UUID[:]
	}
	return v
}
