package postgres

import (
	"context"
	"database/sql/driver"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgtype"

	"github.com/provost-go/provost/store/internal/sqlstore"
)

// session executes statements in a transaction: a connection, or a transaction of the caller.
type session interface {
	Exec(ctx context.Context, query string, args ...any) (pgconn.CommandTag, error)
	Query(ctx context.Context, query string, args ...any) (pgx.Rows, error)
	SendBatch(ctx context.Context, batch *pgx.Batch) pgx.BatchResults
}

// tx is a transaction as package sqlstore sees it. A statement without rows waits for the next one
// with rows, or for the end of the transaction: what is sent together takes one round trip, and
// round trips are most of the time of a short transaction.
type tx struct {
	session
	ctx   context.Context
	spell *spelling
	plain bool // send one statement at a time, and prepare none
	reads bool // nothing is written or locked
	wait  pgx.Batch
	state sqlstore.State

	next    pgx.Batch          // queries expected after the next one
	sent    []*pgx.QueuedQuery // queries sent ahead whose rows are not read yet
	results pgx.BatchResults   // the results of sent; nil if there are none

	commits   bool // the transaction is the store's own, so it commits it
	finishing bool // the commit goes with the next query
	finished  bool // the commit was sent; its outcome is the last of the results
}

var errFinished = errors.New("the transaction has ended: its commit went with an earlier query")

var (
	_ sqlstore.Tx             = (*tx)(nil)
	_ sqlstore.Prefetcher     = (*tx)(nil)
	_ sqlstore.Asserter       = (*tx)(nil)
	_ sqlstore.DeleteReturner = (*tx)(nil)
)

// Locks implements [sqlstore.Tx].
func (t *tx) Locks() bool { return !t.reads }

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

// Prefetch implements [sqlstore.Prefetcher].
func (t *tx) Prefetch(query string, args ...any) {
	if !t.plain {
		t.next.Queue(t.spell.of(query, t.reads), values(args)...)
	}
}

// CommitNext implements [sqlstore.Prefetcher].
func (t *tx) CommitNext() { t.finishing = t.commits && !t.plain }

// Assert implements [sqlstore.Asserter]. The comment in the query explains the error to readers of
// the server's log.
func (t *tx) Assert(query string, args ...any) error {
	return t.later(t.spell.of("SELECT 1 / count(*) /* fails where a deployment has changed; provost looks again then */ FROM ("+query+") AS found", false),
		values(args)...)
}

// Query implements [sqlstore.Tx].
func (t *tx) Query(query string, args ...any) (sqlstore.Rows, error) {
	return t.query(t.spell.of(query, t.reads), values(args))
}

func (t *tx) query(query string, args []any) (sqlstore.Rows, error) {
	if t.plain {
		args = append([]any{pgx.QueryExecModeExec}, args...)
	}
	next := t.next.QueuedQueries
	t.next = pgx.Batch{}
	if len(t.sent) > 0 && t.sent[0].SQL == query && reflect.DeepEqual(t.sent[0].Arguments, args) {
		return t.nextRows() // it was sent ahead
	}
	if t.finished {
		return nil, errFinished
	}
	if err := t.hangUp(); err != nil {
		return nil, err
	}
	if t.wait.Len()+len(next) == 0 && !t.finishing {
		rows, err := t.session.Query(t.ctx, query, args...)
		if err != nil {
			return nil, err
		}
		return found{rows, nil}, nil
	}
	t.wait.Queue(query, args...)
	t.wait.QueuedQueries = append(t.wait.QueuedQueries, next...)
	t.sent = slices.Clone(t.wait.QueuedQueries[t.wait.Len()-1-len(next):])
	unread := len(t.sent)
	if t.finishing {
		t.wait.Queue("COMMIT")
		t.finished = true
		unread++
	}
	var err error
	if t.results, err = t.sendAllBut(unread); err != nil {
		t.sent = nil
		return nil, err
	}
	return t.nextRows()
}

// nextRows returns the rows of the next query that was sent ahead.
func (t *tx) nextRows() (sqlstore.Rows, error) {
	t.sent = t.sent[1:]
	rows, err := t.results.Query()
	if err != nil {
		return nil, errors.Join(err, t.hangUp())
	}
	if len(t.sent) > 0 || t.finished {
		return found{rows, nil}, nil
	}
	last := found{rows, t.results}
	t.results = nil
	return last, nil
}

// hangUp discards the results of queries that were sent ahead but not asked for.
func (t *tx) hangUp() error {
	results := t.results
	if t.results, t.sent = nil, nil; results == nil {
		return nil
	}
	return results.Close()
}

// Exec implements [sqlstore.Tx].
func (t *tx) Exec(query string, args ...any) error {
	return t.later(t.spell.of(query, false), values(args)...)
}

// later executes a statement together with the next one that has rows.
func (t *tx) later(query string, args ...any) error {
	if t.finished {
		return errFinished
	}
	if t.plain {
		_, err := t.session.Exec(t.ctx, query, append([]any{pgx.QueryExecModeExec}, args...)...)
		return err
	}
	t.wait.Queue(query, args...)
	return nil
}

// send executes the statements that wait.
func (t *tx) send() error {
	if err := t.hangUp(); err != nil || t.wait.Len() == 0 {
		return err
	}
	results, err := t.sendAllBut(0)
	if err != nil {
		return err
	}
	return results.Close()
}

// commit commits the transaction, unless its last query has done so.
func (t *tx) commit() error {
	if !t.finished {
		if err := t.later("COMMIT"); err != nil {
			return err
		}
	}
	return t.send()
}

// sendAllBut sends the statements that wait, and reads the results of all but the last n.
func (t *tx) sendAllBut(n int) (pgx.BatchResults, error) {
	batch := t.wait
	t.wait = pgx.Batch{}
	results := t.session.SendBatch(t.ctx, &batch)
	for range batch.Len() - n {
		if _, err := results.Exec(); err != nil {
			_ = results.Close() // reports the same error
			return nil, err
		}
	}
	return results, nil
}

// DeleteReturning implements [sqlstore.DeleteReturner]. The planner can use no index but that of
// the IDs, as no other matches the conditions.
func (t *tx) DeleteReturning(columns string, ids []uuid.UUID, token int64) (sqlstore.Rows, error) {
	return t.Query("DELETE FROM provost_due AS d WHERE d.id IN (?*) AND d.token = ? AND d.state IN ('PENDING', 'RUNNING') AND d.slot IS NULL RETURNING "+
		columns, ids, token)
}

// Insert implements [sqlstore.Tx]. One statement inserts all rows, with one array for each column.
func (t *tx) Insert(into *sqlstore.Table, rows [][]any) error {
	arrays, types, err := transpose(into.Columns, rows)
	if err != nil {
		return fmt.Errorf("insert into %s: %w", into.Name, err)
	}
	query := "INSERT INTO " + into.Name + " (" + strings.Join(names(into.Columns), ", ") + ") SELECT * FROM unnest(" + types + ")"
	if err := t.later(t.spell.of(query, false), arrays...); err != nil {
		return fmt.Errorf("insert into %s: %w", into.Name, err)
	}
	return nil
}

// maxUpdated bounds the rows that one statement updates. The statement joins them with the table,
// and a planner that expects few of them may compare each with each.
const maxUpdated = 200

// Update implements [sqlstore.Tx].
func (t *tx) Update(table *sqlstore.Table, columns []string, rows [][]any) error {
	for some := range slices.Chunk(rows, maxUpdated) {
		if err := t.update(table, columns, some); err != nil {
			return fmt.Errorf("update %s: %w", table.Name, err)
		}
	}
	return nil
}

func (t *tx) update(table *sqlstore.Table, columns []string, rows [][]any) error {
	key := table.Columns[:table.Key]
	all := append(key[:len(key):len(key)], picked(table, columns)...)
	arrays, types, err := transpose(all, rows)
	if err != nil {
		return err
	}
	var set, match []string
	for _, name := range columns {
		set = append(set, name+" = u."+name)
	}
	for _, c := range key {
		match = append(match, "t."+c.Name+" = u."+c.Name)
	}
	query := "UPDATE " + table.Name + " AS t SET " + strings.Join(set, ", ") + " FROM unnest(" + types + ") AS u (" +
		strings.Join(names(all), ", ") + ") WHERE " + strings.Join(match, " AND ") +
		" AND t." + key[0].Name + " = ANY(" + arrayTypes[key[0].Type] + ")" // makes the planner use the key, whatever its statistics
	return t.later(t.spell.of(query, false), append(arrays, arrays[0])...)
}

func names(columns []sqlstore.Column) []string {
	list := make([]string, len(columns))
	for i, c := range columns {
		list[i] = c.Name
	}
	return list
}

func picked(table *sqlstore.Table, names []string) []sqlstore.Column {
	var list []sqlstore.Column
	for _, name := range names {
		for _, c := range table.Columns {
			if c.Name == name {
				list = append(list, c)
			}
		}
	}
	return list
}

// arrayTypes are the arguments for columns, as arrays, by type.
var arrayTypes = [...]string{sqlstore.ID: "?::uuid[]", sqlstore.Int: "?::bigint[]", sqlstore.Text: "?::text[]"}

// transpose returns an array for each column, and the list of their arguments.
func transpose(columns []sqlstore.Column, rows [][]any) (arrays []any, types string, err error) {
	list := make([]string, len(columns))
	for i, c := range columns {
		list[i] = arrayTypes[c.Type]
		var array any
		switch c.Type {
		case sqlstore.ID:
			array, err = column(rows, i, toID)
		case sqlstore.Int:
			array, err = column(rows, i, toInt)
		default:
			array, err = column(rows, i, toText)
		}
		if err != nil {
			return nil, "", fmt.Errorf("column %s: %w", c.Name, err)
		}
		arrays = append(arrays, array)
	}
	return arrays, strings.Join(list, ", "), nil
}

func column[T any](rows [][]any, i int, convert func(any) (T, error)) (pgtype.FlatArray[T], error) {
	list := make(pgtype.FlatArray[T], len(rows)) // pgx encodes it without reflection
	for j, row := range rows {
		var err error
		if list[j], err = convert(row[i]); err != nil {
			return nil, err
		}
	}
	return list, nil
}

func toID(v any) (pgtype.UUID, error) {
	switch v := v.(type) {
	case nil:
		return pgtype.UUID{}, nil
	case uuid.UUID:
		return pgtype.UUID{Bytes: v, Valid: true}, nil
	case uuid.NullUUID:
		return pgtype.UUID{Bytes: v.UUID, Valid: v.Valid}, nil
	}
	return pgtype.UUID{}, fmt.Errorf("cannot store a %T as an ID", v)
}

func toInt(v any) (pgtype.Int8, error) {
	if valuer, ok := v.(driver.Valuer); ok {
		var err error
		if v, err = valuer.Value(); err != nil {
			return pgtype.Int8{}, err
		}
	}
	switch v := v.(type) {
	case nil:
		return pgtype.Int8{}, nil
	case int:
		return pgtype.Int8{Int64: int64(v), Valid: true}, nil
	case int64:
		return pgtype.Int8{Int64: v, Valid: true}, nil
	}
	return pgtype.Int8{}, fmt.Errorf("cannot store a %T as a number", v)
}

func toText(v any) (pgtype.Text, error) {
	if valuer, ok := v.(driver.Valuer); ok {
		var err error
		if v, err = valuer.Value(); err != nil {
			return pgtype.Text{}, err
		}
	}
	switch v := v.(type) {
	case nil:
		return pgtype.Text{}, nil
	case string:
		return pgtype.Text{String: storable(v), Valid: true}, nil
	}
	return pgtype.Text{}, fmt.Errorf("cannot store a %T as a text", v)
}

// storable returns the text as PostgreSQL accepts it: in valid UTF-8, without NUL.
func storable(text string) string {
	const unknown = "\uFFFD"
	return strings.ReplaceAll(strings.ToValidUTF8(text, unknown), "\x00", unknown)
}

// values returns arguments as pgx takes them.
func values(args []any) []any {
	list := make([]any, len(args))
	for i, arg := range args {
		switch v := arg.(type) {
		case uuid.UUID:
			list[i] = pgtype.UUID{Bytes: v, Valid: true}
		case uuid.NullUUID:
			list[i] = pgtype.UUID{Bytes: v.UUID, Valid: v.Valid}
		case []uuid.UUID:
			ids := make(pgtype.FlatArray[pgtype.UUID], len(v))
			for j, id := range v {
				ids[j] = pgtype.UUID{Bytes: id, Valid: true}
			}
			list[i] = ids
		case string:
			list[i] = storable(v)
		default:
			list[i] = arg
		}
	}
	return list
}

// found is the result of a query.
type found struct {
	rows  pgx.Rows
	batch pgx.BatchResults // closed with the rows, if they are its last; else nil
}

func (f found) Next() bool { return f.rows.Next() }
func (f found) Err() error { return f.rows.Err() }

// Close implements [sqlstore.Rows].
func (f found) Close() error {
	f.rows.Close()
	if f.batch != nil {
		return f.batch.Close()
	}
	return f.rows.Err()
}

// Scan implements [sqlstore.Rows].
func (f found) Scan(into ...any) error {
	targets := make([]any, len(into))
	var nullable []int
	for i, v := range into {
		switch v := v.(type) {
		case *uuid.UUID:
			targets[i] = (*[16]byte)(v)
		case *uuid.NullUUID:
			targets[i] = new(pgtype.UUID)
			nullable = append(nullable, i)
		default:
			targets[i] = v
		}
	}
	if err := f.rows.Scan(targets...); err != nil {
		return err
	}
	for _, i := range nullable {
		id := targets[i].(*pgtype.UUID)
		*into[i].(*uuid.NullUUID) = uuid.NullUUID{UUID: id.Bytes, Valid: id.Valid}
	}
	return nil
}

// spelling translates queries of package sqlstore for PostgreSQL, with the schema of the tables. It
// keeps the translations.
type spelling struct {
	schema string // quoted
	texts  sync.Map
}

type spelled struct {
	query string
	reads bool
}

func (s *spelling) of(query string, reads bool) string {
	if text, ok := s.texts.Load(spelled{query, reads}); ok {
		return text.(string)
	}
	text := s.write(query, reads)
	s.texts.Store(spelled{query, reads}, text) // bounded by the queries of package sqlstore: filters combine few conditions
	return text
}

func (s *spelling) write(query string, reads bool) string {
	if reads {
		for _, lock := range [...]string{" FOR UPDATE", " FOR NO KEY UPDATE", " FOR KEY SHARE"} {
			if i := strings.Index(query, lock); i >= 0 {
				query = query[:i]
			}
		}
	}
	query = strings.ReplaceAll(query, "provost_", s.schema+".provost_")
	var b strings.Builder
	for n := 1; ; n++ {
		before, after, more := strings.Cut(query, "?")
		if !more {
			b.WriteString(query)
			return b.String()
		}
		mark := "$" + strconv.Itoa(n)
		if rest, isList := strings.CutPrefix(after, "*)"); isList {
			b.WriteString(strings.TrimSuffix(before, "IN ("))
			b.WriteString("= ANY(" + mark + ")")
			query = rest
			continue
		}
		b.WriteString(before)
		b.WriteString(mark)
		query = after
	}
}
