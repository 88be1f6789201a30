package sqlite

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"io"
	"reflect"

	"github.com/google/uuid"

	"github.com/provost-go/provost/store/internal/sqlstore"
)

// direct executes statements on a connection of the driver, without package database/sql in
// between, which takes as long for a short statement as the database does. It is for the writer,
// whose connection nobody else uses.
type direct struct {
	conn  driver.ConnPrepareContext
	cache map[string]*statement
}

// statement is a prepared statement with the interfaces of the driver that execute it.
type statement struct {
	driver.Stmt
	exec  driver.StmtExecContext
	query driver.StmtQueryContext
}

var errDriver = errors.New("sqlite: the driver does not implement the interfaces of package database/sql/driver that take a context; use another driver")

// prepare returns the statement of a query, prepared once.
func (d *direct) prepare(ctx context.Context, query string) (*statement, error) {
	if s := d.cache[query]; s != nil {
		return s, nil
	}
	if len(d.cache) >= maxCached {
		d.forget()
	}
	prepared, err := d.conn.PrepareContext(ctx, query)
	if err != nil {
		return nil, err
	}
	s := &statement{Stmt: prepared}
	var ok, ok2 bool
	s.exec, ok = prepared.(driver.StmtExecContext)
	s.query, ok2 = prepared.(driver.StmtQueryContext)
	if !ok || !ok2 {
		return nil, errDriver
	}
	d.cache[query] = s
	return s, nil
}

// forget closes the prepared statements.
func (d *direct) forget() {
	for query, s := range d.cache {
		_ = s.Close() // the cache drops it either way
		delete(d.cache, query)
	}
}

func (d *direct) exec(ctx context.Context, query string, args []any) error {
	s, err := d.prepare(ctx, query)
	if err != nil {
		return err
	}
	values, err := named(args)
	if err != nil {
		return err
	}
	_, err = s.exec.ExecContext(ctx, values)
	return err
}

func (d *direct) query(ctx context.Context, query string, args []any) (sqlstore.Rows, error) {
	s, err := d.prepare(ctx, query)
	if err != nil {
		return nil, err
	}
	values, err := named(args)
	if err != nil {
		return nil, err
	}
	rows, err := s.query.QueryContext(ctx, values)
	if err != nil {
		return nil, err
	}
	return &directRows{rows: rows, values: make([]driver.Value, len(rows.Columns()))}, nil
}

// named returns arguments as drivers take them.
func named(args []any) ([]driver.NamedValue, error) {
	list := make([]driver.NamedValue, len(args))
	for i, arg := range args {
		list[i].Ordinal = i + 1
		switch v := arg.(type) {
		case nil, int64, string, []byte:
			list[i].Value = v
		case int:
			list[i].Value = int64(v)
		case driver.Valuer:
			value, err := v.Value()
			if err != nil {
				return nil, err
			}
			list[i].Value = value
		default:
			return nil, fmt.Errorf("argument %d has the unsupported type %T", i+1, arg)
		}
	}
	return list, nil
}

// directRows is the result of a query.
type directRows struct {
	rows   driver.Rows
	values []driver.Value
	err    error
}

// Next implements [sqlstore.Rows].
func (r *directRows) Next() bool {
	err := r.rows.Next(r.values)
	if err != nil && !errors.Is(err, io.EOF) {
		r.err = err
	}
	return err == nil
}

// Err implements [sqlstore.Rows].
func (r *directRows) Err() error { return r.err }

// Close implements [sqlstore.Rows].
func (r *directRows) Close() error { return r.rows.Close() }

// Scan implements [sqlstore.Rows].
func (r *directRows) Scan(into ...any) error {
	if len(into) != len(r.values) {
		return fmt.Errorf("got %d columns for %d variables", len(r.values), len(into))
	}
	for i, v := range r.values {
		if err := assign(into[i], v); err != nil {
			return fmt.Errorf("column %d: %w", i+1, err)
		}
	}
	return nil
}

// assign stores a value of the database in a variable of package sqlstore.
func assign(into any, v driver.Value) error {
	if b, ok := v.([]byte); ok {
		switch into := into.(type) {
		case *uuid.UUID:
			if len(b) != len(into) {
				return fmt.Errorf("got an ID of %d bytes", len(b))
			}
			copy(into[:], b)
			return nil
		case *[]byte:
			*into = append([]byte(nil), b...)
			return nil
		}
	}
	if scanner, ok := into.(sql.Scanner); ok {
		return scanner.Scan(v)
	}
	switch v := v.(type) {
	case nil:
		reflect.ValueOf(into).Elem().SetZero()
		return nil
	case int64:
		switch into := into.(type) {
		case *int64:
			*into = v
			return nil
		case *int:
			*into = int(v)
			return nil
		}
	case []byte:
		return assign(into, string(v))
	case string:
		switch into := into.(type) {
		case *string:
			*into = v
			return nil
		case *[]byte:
			*into = []byte(v)
			return nil
		}
		if target := reflect.ValueOf(into).Elem(); target.Kind() == reflect.String {
			target.SetString(v)
			return nil
		}
	}
	return fmt.Errorf("cannot store a %T in a %T", v, into)
}
