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

// direct executes statements on a driver's connection without package database/sql in between: of a short statement that takes as long
// as the database does. It is for the writer, whose connection nobody else has.
type direct struct {
	conn  driver.ConnPrepareContext
	cache map[string]*statement
}

// statement is a prepared statement with the memory that its calls share.
type statement struct {
	driver.Stmt
	exec  driver.StmtExecContext
	query driver.StmtQueryContext
}

var errDriver = errors.New("sqlite: the driver lacks the interfaces of package database/sql/driver that take a context; use another")

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

func (d *direct) forget() {
	for query, s := range d.cache {
		_ = s.Close() // it is only forgotten
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

// named are arguments as drivers take them.
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
			return nil, fmt.Errorf("argument %d is a %T", i+1, arg)
		}
	}
	return list, nil
}

// directRows are the rows of a query.
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
		return fmt.Errorf("%d values for %d variables", len(r.values), len(into))
	}
	for i, v := range r.values {
		if err := assign(into[i], v); err != nil {
			return fmt.Errorf("column %d: %w", i+1, err)
		}
	}
	return nil
}

// assign puts a value of the database into a variable of the sqlstore.
func assign(into any, v driver.Value) error {
	if b, ok := v.([]byte); ok {
		switch into := into.(type) {
		case *uuid.UUID:
			if len(b) != len(into) {
				return fmt.Errorf("an ID of %d bytes", len(b))
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
	return fmt.Errorf("a %T does not fit into a %T", v, into)
}
