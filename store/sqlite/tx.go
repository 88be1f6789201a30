package sqlite

import (
	"context"
	"database/sql"
	"fmt"
	"strings"

	"github.com/google/uuid"

	"github.com/provost-go/provost/store/internal/ledger"
)

// session executes the ledger's statements on a connection, or in a transaction of the caller's. It keeps what it has prepared.
type session struct {
	conn  preparer
	cache map[string]*sql.Stmt // nil: nothing is kept
}

// preparer is a *sql.Conn or a *sql.Tx.
type preparer interface {
	PrepareContext(ctx context.Context, query string) (*sql.Stmt, error)
	QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error)
	ExecContext(ctx context.Context, query string, args ...any) (sql.Result, error)
}

// maxCached bounds how many prepared statements a session keeps.
const maxCached = 500

func (s *session) prepare(ctx context.Context, query string) (*sql.Stmt, error) {
	if stmt := s.cache[query]; stmt != nil {
		return stmt, nil
	}
	if len(s.cache) >= maxCached {
		s.forget()
	}
	stmt, err := s.conn.PrepareContext(ctx, query)
	if err == nil {
		s.cache[query] = stmt
	}
	return stmt, err
}

func (s *session) forget() {
	for query, stmt := range s.cache {
		_ = stmt.Close() // it is only forgotten
		delete(s.cache, query)
	}
}

func (s *session) exec(ctx context.Context, query string, args []any) (sql.Result, error) {
	if s.cache == nil {
		return s.conn.ExecContext(ctx, query, args...)
	}
	stmt, err := s.prepare(ctx, query)
	if err != nil {
		return nil, err
	}
	return stmt.ExecContext(ctx, args...)
}

func (s *session) query(ctx context.Context, query string, args []any) (*sql.Rows, error) {
	if s.cache == nil {
		return s.conn.QueryContext(ctx, query, args...)
	}
	stmt, err := s.prepare(ctx, query)
	if err != nil {
		return nil, err
	}
	return stmt.QueryContext(ctx, args...)
}

// tx is a transaction of a session, as the ledger sees it.
type tx struct {
	*session
	ctx   context.Context
	state ledger.State
}

var _ ledger.Sharer = (*tx)(nil)

// State implements [ledger.Sharer].
func (t *tx) State() *ledger.State { return &t.state }

// do is an operation that has the transaction to itself.
func (t *tx) do(operation func(ledger.Tx) error) error {
	err := operation(t)
	if err == nil && t.state.Flush != nil {
		err = t.state.Flush()
	}
	return err
}

// Query implements [ledger.Tx].
func (t *tx) Query(query string, args ...any) (ledger.Rows, error) {
	query, args = spell(query, args)
	rows, err := t.query(t.ctx, query, args)
	if err != nil {
		return nil, err
	}
	return rows, nil
}

// Exec implements [ledger.Tx].
func (t *tx) Exec(query string, args ...any) (int64, error) {
	query, args = spell(query, args)
	result, err := t.exec(t.ctx, query, args)
	if err != nil {
		return 0, err
	}
	return result.RowsAffected()
}

// batches are how many rows one statement inserts: few sizes, so that few statements are prepared.
var batches = [...]int{64, 16, 4, 1}

// Insert implements [ledger.Tx].
func (t *tx) Insert(into *ledger.Table, rows [][]any) error {
	for _, n := range batches {
		for len(rows) >= n {
			args := make([]any, 0, n*len(into.Columns))
			for _, row := range rows[:n] {
				for _, v := range row {
					args = append(args, value(v))
				}
			}
			if _, err := t.exec(t.ctx, insertion(into, n), args); err != nil {
				return fmt.Errorf("insert into %s: %w", into.Name, err)
			}
			rows = rows[n:]
		}
	}
	return nil
}

func insertion(into *ledger.Table, n int) string {
	row := "(" + strings.TrimSuffix(strings.Repeat("?, ", len(into.Columns)), ", ") + ")"
	return "INSERT INTO " + into.Name + " VALUES " + strings.TrimSuffix(strings.Repeat(row+", ", n), ", ")
}

// Update implements [ledger.Tx].
func (t *tx) Update(table *ledger.Table, columns []string, rows [][]any) error {
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
		if _, err := t.exec(t.ctx, query, args); err != nil {
			return fmt.Errorf("update %s: %w", table.Name, err)
		}
	}
	return nil
}

// spell writes a query of the ledger as SQLite has it: rows are not locked one by one, and a list has as many marks as values.
func spell(query string, args []any) (string, []any) {
	if i := strings.Index(query, " FOR UPDATE"); i >= 0 {
		query = query[:i]
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

// listSize is how many marks a list of n values gets: a power of two, so that few statements are prepared.
func listSize(n int) int {
	size := 1
	for size < n {
		size *= 2
	}
	return size
}

func spread(query string, n int) string {
	return strings.Replace(query, "(?*)", "("+strings.TrimSuffix(strings.Repeat("?, ", listSize(n)), ", ")+")", 1)
}

// fill repeats a list's last value, up to the number of its marks. A list without values has NULL, which is in no column.
func fill(args []any, n int) []any {
	if n == 0 {
		return append(args, nil)
	}
	for size := listSize(n); n < size; n++ {
		args = append(args, args[len(args)-1])
	}
	return args
}

// value is an argument as it is kept: IDs in 16 bytes.
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
