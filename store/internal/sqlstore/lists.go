package sqlstore

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"strings"

	"github.com/google/uuid"

	"github.com/provost-go/provost/store"
)

func slogLevel(n int) slog.Level { return slog.Level(n) }

// GetRun implements [store.RunStore].
func (l *Store) GetRun(ctx context.Context, id uuid.UUID) (*store.Run, error) {
	return look(ctx, l, func(b *book) (*store.Run, error) { return b.getRun(id) })
}

func (b *book) getRun(id uuid.UUID) (run *store.Run, err error) {
	r, err := b.run(id)
	if err == nil {
		run, err = b.show(r)
	}
	return run, err
}

// order is how a list of runs is sorted. Runs with equal keys are ordered by ID, in the same
// direction.
type order struct {
	key        string // SQL; "" for the ID alone
	id         string // the column, of the narrowest table that has all that is looked for
	descending bool
	of         func(r *run) micros
}

// last stands for a time that is not known: it comes after all others.
const last = "9223372036854775807"

func runOrder(f store.RunFilter) (order, error) {
	id := "w.id"
	switch over, going := sides(f.States); {
	case !going:
		id = "e.id"
	case !over:
		id = "d.id"
	}
	switch f.Sort {
	case store.NewestFirst:
		return order{id: id, descending: true}, nil
	case store.OldestFirst:
		return order{id: id}, nil
	case store.SoonestDue:
		return order{id: id, key: "coalesce(d.due, e.due, " + last + ")", of: func(r *run) micros { return r.due.due }}, nil
	case store.LatestEnded:
		return order{id: id, key: "coalesce(e.ended, " + last + ")", descending: true, of: func(r *run) micros { return r.due.end }}, nil
	}
	return order{}, fmt.Errorf("unknown sort %q; use NewestFirst, OldestFirst, SoonestDue or LatestEnded", f.Sort)
}

func (o order) String() string {
	direction := ""
	if o.descending {
		direction = " DESC"
	}
	if o.key == "" {
		return o.id + direction
	}
	return o.key + direction + ", " + o.id + direction
}

// after adds that a page begins behind a cursor.
func (o order) after(where *conditions, c cursor) {
	compare := ">"
	if o.descending {
		compare = "<"
	}
	if o.key == "" {
		where.add(true, o.id+" "+compare+" ?", c.id)
		return
	}
	where.add(true, fmt.Sprintf("(%s %s ? OR (%s = ? AND %s %s ?))", o.key, compare, o.key, o.id, compare), c.key, c.key, c.id)
}

// ListRuns implements [store.RunStore].
func (l *Store) ListRuns(ctx context.Context, f store.RunFilter) (store.Page[*store.Run], error) {
	f, err := f.Resolve()
	if err != nil {
		return store.Page[*store.Run]{}, err
	}
	return look(ctx, l, func(b *book) (store.Page[*store.Run], error) { return b.listRuns(f) })
}

func (b *book) listRuns(f store.RunFilter) (page store.Page[*store.Run], err error) {
	at, err := parseCursor(f.Cursor)
	if err != nil {
		return page, err
	}
	o, err := runOrder(f)
	if err != nil {
		return page, err
	}
	limit := pageSize(f.Limit)
	more := f.Cursor != ""
	for len(page.Items) <= limit {
		where := runConditions(f)
		if more {
			o.after(&where, at)
		}
		found, err := b.listed(f, where, o, limit+1)
		if err != nil {
			return page, err
		}
		for _, r := range found {
			if at = (cursor{id: r.due.id}); o.of != nil {
				at.key = int64(o.of(r))
			}
			v, err := r.view()
			if err != nil {
				return page, err
			}
			if !hasAll(v.Tags, f.Tags) {
				continue
			}
			if len(page.Items) == limit {
				return page, nil
			}
			page.Items = append(page.Items, v)
			page.Next = at.String()
		}
		if more = true; len(found) <= limit {
			break
		}
	}
	page.Next = ""
	return page, nil
}

// runConditions are what a filter asks for, but tags, which are compared in Go.
func runConditions(f store.RunFilter) conditions {
	var where conditions
	where.add(f.DeploymentID != uuid.Nil, "w.deployment = ?", f.DeploymentID)
	where.add(f.Flow != "", "w.flow = ?", f.Flow)
	where.add(f.Schedule != "", "w.schedule = ?", f.Schedule)
	where.add(f.ParentID != uuid.Nil, "w.parent = ?", f.ParentID)
	where.add(!f.After.IsZero(), "w.scheduled >= ?", toMicros(f.After))
	where.add(!f.Before.IsZero(), "w.scheduled < ?", toMicros(f.Before))
	where.add(f.StateName != "", "coalesce(d.state_name, e.state_name) = ?", f.StateName)
	if len(f.States) == 0 {
		return where
	}
	names := make([]string, len(f.States))
	for i, s := range f.States {
		names[i] = string(s)
	}
	switch over, going := sides(f.States); {
	case !going:
		where.add(true, "e.state IN (?*)", names)
		where.add(!slices.Contains(f.States, store.StateCompleted), "e.state <> 'COMPLETED'") // the others have an index
	case !over:
		where.add(true, "d.state IN (?*)", names)
	default:
		where.add(true, "coalesce(d.state, e.state) IN (?*)", names)
	}
	return where
}

// sides says whether a filter's states let runs through that are over, and such that are not.
func sides(states []store.StateType) (over, going bool) {
	over = len(states) == 0 || slices.ContainsFunc(states, store.StateType.Terminal)
	going = len(states) == 0 || slices.ContainsFunc(states, func(s store.StateType) bool { return !s.Terminal() })
	return over, going
}

// runSource is the rows to look through: no more than there may be.
func runSource(f store.RunFilter) string {
	const all, due, ended = "provost_run w", "provost_due d ON d.id = w.id", "provost_end e ON e.id = w.id"
	switch over, going := sides(f.States); {
	case !going:
		return "provost_end e JOIN provost_run w ON w.id = e.id LEFT JOIN " + due
	case !over:
		return "provost_due d JOIN provost_run w ON w.id = d.id LEFT JOIN " + ended
	}
	return all + " LEFT JOIN " + due + " LEFT JOIN " + ended
}

// listed finds runs. They are read by their keys once they are found: so there is one place that
// knows how a run is put together.
func (b *book) listed(f store.RunFilter, where conditions, o order, limit int) ([]*run, error) {
	ids, err := b.list("SELECT w.id FROM "+runSource(f)+" WHERE "+where.String()+" ORDER BY "+o.String()+" LIMIT ?", append(where.args, limit)...)
	if err != nil || len(ids) == 0 {
		return nil, err
	}
	if err := b.load(ids); err != nil {
		return nil, err
	}
	var found []*run
	for _, id := range ids {
		if r := b.runs[id]; r != nil {
			found = append(found, r)
		}
	}
	return found, b.loadWide(found...)
}

func hasAll(tags, wanted []string) bool {
	for _, tag := range wanted {
		if !slices.Contains(tags, tag) {
			return false
		}
	}
	return true
}

// CountRuns implements [store.RunStore].
func (l *Store) CountRuns(ctx context.Context, f store.RunFilter) (int, error) {
	f, err := f.Resolve()
	if err != nil {
		return 0, err
	}
	return look(ctx, l, func(b *book) (int, error) { return b.countRuns(f) })
}

func (b *book) countRuns(f store.RunFilter) (n int, err error) {
	where := runConditions(f)
	if len(f.Tags) == 0 {
		_, err := b.one("SELECT count(*) FROM "+runSource(f)+" WHERE "+where.String(), where.args, &n)
		return n, err
	}
	err = b.each("SELECT w.tags FROM "+runSource(f)+" WHERE "+where.String(), where.args, func(rows Rows) error {
		var text string
		if err := rows.Scan(&text); err != nil {
			return err
		}
		tags, err := decode[[]string](text)
		if hasAll(tags, f.Tags) {
			n++
		}
		return err
	})
	return n, err
}

// ListDeployments implements [store.DeploymentStore].
func (l *Store) ListDeployments(ctx context.Context, f store.DeploymentFilter) (store.Page[*store.DeploymentRecord], error) {
	return look(ctx, l, func(b *book) (store.Page[*store.DeploymentRecord], error) { return b.listDeployments(f) })
}

func (b *book) listDeployments(f store.DeploymentFilter) (page store.Page[*store.DeploymentRecord], err error) {
	flow, name, ok := strings.Cut(f.Cursor, "/")
	if !ok && f.Cursor != "" {
		return page, badCursor(f.Cursor)
	}
	limit := pageSize(f.Limit)
	for {
		var where conditions
		where.add(f.Flow != "", "d.flow = ?", f.Flow)
		where.add(flow != "", "(d.flow > ? OR (d.flow = ? AND d.name > ?))", flow, flow, name)
		found, err := b.selectDeployments(b.each, where.String()+" ORDER BY d.flow, d.name LIMIT ?", append(where.args, limit+1)...)
		if err != nil || len(found) == 0 {
			return page, err
		}
		var matching []*deployment
		for _, d := range found {
			if (f.Paused == nil || d.pause.Effective() == *f.Paused) && hasAll(d.record.Tags, f.Tags) {
				matching = append(matching, d)
			}
		}
		full := len(page.Items)+len(matching) > limit
		matching = matching[:min(len(matching), limit-len(page.Items))]
		views, err := b.listedDeployments(matching)
		if err != nil {
			return page, err
		}
		page.Items = append(page.Items, views...)
		if full {
			page.Next = page.Items[limit-1].Handle()
			return page, nil
		}
		if len(found) <= limit {
			return page, nil
		}
		end := found[len(found)-1].record
		flow, name = end.Flow, end.Name
	}
}

func (b *book) listedDeployments(list []*deployment) ([]*store.DeploymentRecord, error) {
	ids := make([]uuid.UUID, len(list))
	for i, d := range list {
		ids[i] = d.id()
	}
	if len(ids) == 0 {
		return nil, nil
	}
	if err := b.loadSchedules(ids); err != nil {
		return nil, err
	}
	return b.viewDeployments(list)
}

// ListFlows implements [store.DeploymentStore].
func (l *Store) ListFlows(ctx context.Context, f store.FlowFilter) (store.Page[*store.FlowRecord], error) {
	return look(ctx, l, func(b *book) (store.Page[*store.FlowRecord], error) { return b.listFlows(f) })
}

func (b *book) listFlows(f store.FlowFilter) (page store.Page[*store.FlowRecord], err error) {
	page.Items = []*store.FlowRecord{}
	limit := pageSize(f.Limit)
	err = b.each("SELECT f.id, f.name, f.created FROM provost_flow f WHERE f.name > ? ORDER BY f.name LIMIT ?", []any{f.Cursor, limit + 1}, func(rows Rows) error {
		flow := new(store.FlowRecord)
		var created micros
		err := rows.Scan(&flow.ID, &flow.Name, &created)
		flow.Created = created.time()
		page.Items = append(page.Items, flow)
		return err
	})
	if len(page.Items) > limit {
		page.Items = page.Items[:limit]
		page.Next = page.Items[limit-1].Name
	}
	return page, err
}
