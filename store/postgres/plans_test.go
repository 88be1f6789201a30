package postgres_test

import (
	"context"
	"fmt"
	"regexp"
	"strings"
	"sync"
	"testing"

	"github.com/jackc/pgx/v5"
)

// queries collects the queries of stores in transactions that write.
type queries struct {
	mu      sync.Mutex
	opening string             // the statement that begins such a transaction
	writing map[*pgx.Conn]bool // whether such a transaction is under way
	asked   map[string]bool    // schemaMark stands for the schema
}

const schemaMark = "the_schema"

var ofTest = regexp.MustCompile(`test_[0-9a-f]{32}`)

func (q *queries) add(conn *pgx.Conn, statements []string) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.asked == nil {
		q.writing, q.asked = make(map[*pgx.Conn]bool), make(map[string]bool)
	}
	for _, sql := range statements {
		switch {
		case strings.HasPrefix(sql, "BEGIN"), sql == "COMMIT":
			q.writing[conn] = sql == "BEGIN"
		case strings.Contains(sql, "set_config"):
			if strings.Contains(sql, "lock_shared") {
				q.opening = sql
			}
		case q.writing[conn] && strings.HasPrefix(sql, "SELECT "):
			q.asked[ofTest.ReplaceAllString(sql, schemaMark)] = true
		}
	}
}

// check explains the queries and finds those that would take longer the more runs there are. It
// uses an empty database, of which the server has no statistics, as in production of a table that
// was empty a moment ago: the server keeps the plan that it makes then.
func (q *queries) check(t *testing.T) {
	name := schema(t)
	open(t, name)
	conn, err := connect(t).Acquire(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Release()
	if len(q.asked) < 50 || q.opening == "" {
		t.Fatalf("got %d queries and the opening %q, want at least 50 and one", len(q.asked), q.opening)
	}
	for query := range q.asked {
		plan, err := explain(t.Context(), conn.Conn(), q.opening, strings.ReplaceAll(query, schemaMark, name))
		if err != nil {
			t.Errorf("%s: %v", query, err)
		}
		if readsAll(plan) && !strings.Contains(query, "d.state = 'SCHEDULED'") { // that one is for a deployment that is deleted
			t.Errorf("%s\nreads all runs:\n%s", query, plan)
		}
	}
}

// readsAll reports whether a plan has a step that reads all runs.
func readsAll(plan string) bool {
	lines := strings.Split(plan, "\n")
	for i, line := range lines {
		if everyRow.MatchString(line) {
			return true
		}
		if everyKey.MatchString(line) && (i+1 == len(lines) || !strings.Contains(lines[i+1], "Index Cond")) {
			return true
		}
	}
	return false
}

var (
	everyRow = regexp.MustCompile(`Seq Scan on provost_(due|run|end)\b`)
	everyKey = regexp.MustCompile(`Index (Only )?Scan using provost_(due|run|end)_pkey`)
)

func explain(ctx context.Context, conn *pgx.Conn, opening, query string) (plan string, err error) {
	tx, err := conn.Begin(ctx)
	if err != nil {
		return "", err
	}
	defer tx.Rollback(ctx) //nolint:errcheck // nothing was changed
	if _, err := tx.Exec(ctx, opening); err != nil {
		return "", err
	}
	if _, err := tx.Exec(ctx, "PREPARE asked AS "+query, pgx.QueryExecModeSimpleProtocol); err != nil {
		return "", err
	}
	defer conn.Exec(ctx, "DEALLOCATE asked") //nolint:errcheck // if it fails, so does the next PREPARE
	arguments := ""
	for n := 1; strings.Contains(query, fmt.Sprintf("$%d", n)); n++ {
		arguments += ", NULL"
	}
	if arguments != "" {
		arguments = "(" + arguments[2:] + ")"
	}
	rows, err := tx.Query(ctx, "EXPLAIN (COSTS OFF) EXECUTE asked"+arguments, pgx.QueryExecModeSimpleProtocol)
	if err != nil {
		return "", err
	}
	lines, err := pgx.CollectRows(rows, pgx.RowTo[string])
	return strings.Join(lines, "\n"), err
}
