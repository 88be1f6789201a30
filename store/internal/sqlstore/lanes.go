package sqlstore

import (
	"crypto/sha256"
	"fmt"
	"slices"

	"github.com/google/uuid"
)

// A lane is a claim queue of deployments: of one priority, all with a limit or all without, and
// served by one set of runners. A run that waits stands in its deployment's lane, so no claim meets
// a run that it may not take, however many there are; and a claim walks as many queues as there are
// lanes, not deployments. Who serves what changes seldom, and mostly for all at once: then the lane
// keeps its number, and no run is written.

// laneGroup is deployments that belong into one lane.
type laneGroup struct {
	name     string
	priority int
	servers  []uuid.UUID
	members  []*deployment
}

// relane puts deployments into the lanes of those that serve them now.
func (b *book) relane(deployments []*deployment) error {
	if len(deployments) == 0 {
		return nil
	}
	if err := b.flush(); err != nil { // their rows are there, and in lanes that are about to change
		return err
	}
	groups, err := b.laneGroups(deployments)
	if err != nil {
		return err
	}
	var left []int64
	for _, g := range groups {
		lane, err := b.laneFor(g)
		if err != nil {
			return err
		}
		if err := b.attend(g); err != nil {
			return err
		}
		var moved []uuid.UUID
		from := make(map[int64]bool)
		for _, d := range g.members {
			if d.lane != lane {
				left, moved = append(left, d.lane), append(moved, d.id())
				from[d.lane] = true
				d.lane = lane
			}
		}
		if err := b.moveTo(lane, from, moved); err != nil {
			return err
		}
	}
	return b.dropEmptyLanes(left)
}

func (b *book) laneGroups(deployments []*deployment) ([]*laneGroup, error) {
	ids := make([]uuid.UUID, len(deployments))
	for i, d := range deployments {
		ids[i] = d.id()
	}
	servers := make(map[uuid.UUID][]uuid.UUID)
	err := b.each("SELECT s.deployment, s.runner FROM provost_serving s WHERE s.deployment IN (?*) ORDER BY s.deployment, s.runner", []any{ids},
		func(rows Rows) error {
			var deployment, runner uuid.UUID
			err := rows.Scan(&deployment, &runner)
			servers[deployment] = append(servers[deployment], runner)
			return err
		})
	if err != nil {
		return nil, err
	}
	byName := make(map[string]*laneGroup)
	var groups []*laneGroup
	for _, d := range deployments {
		name := laneName(d, servers[d.id()])
		g := byName[name]
		if g == nil {
			g = &laneGroup{name: name, priority: d.record.Priority, servers: servers[d.id()]}
			byName[name] = g
			groups = append(groups, g)
		}
		g.members = append(g.members, d)
	}
	return groups, nil
}

// laneName is the same for deployments of one lane. Who serves them is in a hash: they may be more
// than an index takes.
func laneName(d *deployment, servers []uuid.UUID) string {
	h := sha256.New()
	for _, id := range servers {
		h.Write(id[:])
	}
	return fmt.Sprintf("%d %t %x", d.record.Priority, d.limited(), h.Sum(nil))
}

// laneFor finds the lane of a group: the one that has its name, or else the one that most of it is
// in, if nothing else is in that, or else a new one. What nobody serves is not brought together: it
// keeps its lanes for those who serve it next.
func (b *book) laneFor(g *laneGroup) (int64, error) {
	var lane int64
	if len(g.servers) > 0 {
		found, err := b.one("SELECT l.id FROM provost_lane l WHERE l.name = ?", []any{g.name}, &lane)
		if found || err != nil {
			return lane, err
		}
	}
	count := make(map[int64]int)
	for _, d := range g.members {
		if count[d.lane]++; d.lane != 0 && (lane == 0 || count[d.lane] > count[lane]) {
			lane = d.lane
		}
	}
	if lane != 0 {
		var all int
		if _, err := b.one("SELECT count(*) FROM provost_deployment d WHERE d.lane = ?", []any{lane}, &all); err != nil {
			return 0, err
		}
		if all == count[lane] {
			err := b.exec("UPDATE provost_lane SET name = ?, priority = ? WHERE id = ?", g.unique(lane), g.priority, lane)
			if err == nil {
				err = b.exec("DELETE FROM provost_runner_lane WHERE lane = ?", lane)
			}
			if err != nil {
				return 0, err
			}
			return lane, b.serveLane(g, lane)
		}
	}
	var err error
	if lane, err = b.number("lane"); err != nil {
		return 0, err
	}
	if err := b.tx.Insert(laneTable, [][]any{{lane, g.priority, g.unique(lane)}}); err != nil {
		return 0, err
	}
	return lane, b.serveLane(g, lane)
}

// unique is the name of the group's lane: its own for each lane of what nobody serves.
func (g *laneGroup) unique(lane int64) string {
	if len(g.servers) == 0 {
		return fmt.Sprintf("%s unserved %d", g.name, lane)
	}
	return g.name
}

func (b *book) serveLane(g *laneGroup, lane int64) error {
	var rows [][]any
	for _, id := range g.servers {
		rows = append(rows, []any{id, lane})
	}
	return b.tx.Insert(runnerLaneTable, rows)
}

// moveTo moves deployments, with all that waits of them, to another lane.
func (b *book) moveTo(lane int64, from map[int64]bool, ids []uuid.UUID) error {
	if len(ids) == 0 {
		return nil
	}
	for old := range from { // what waits is found by its lane
		if err := b.exec("UPDATE provost_due SET lane = ? WHERE lane = ? AND deployment IN (?*)", lane, old, ids); err != nil {
			return err
		}
	}
	return b.exec("UPDATE provost_deployment SET lane = ? WHERE id IN (?*)", lane, ids)
}

// attend lets schedules be planned where somebody serves the deployment, and only there.
func (b *book) attend(g *laneGroup) error {
	attended := len(g.servers) > 0
	var changed []uuid.UUID
	for _, d := range g.members {
		if d.attended != attended {
			d.attended = attended
			changed = append(changed, d.id())
		}
	}
	if len(changed) == 0 {
		return nil
	}
	err := b.exec("UPDATE provost_deployment SET attended = ? WHERE id IN (?*)", flag(attended), changed)
	if err == nil {
		err = b.exec("UPDATE provost_schedule SET active = ? WHERE deployment IN (?*) AND retired_at IS NULL", flag(attended), changed)
	}
	return err
}

func (b *book) dropEmptyLanes(lanes []int64) error {
	slices.Sort(lanes)
	for _, lane := range slices.Compact(lanes) {
		if lane == 0 {
			continue
		}
		for _, of := range []string{"runner_lane WHERE lane", "lane WHERE id"} {
			err := b.exec("DELETE FROM provost_"+of+" = ? AND NOT EXISTS (SELECT 1 FROM provost_deployment d WHERE d.lane = ?)", lane, lane)
			if err != nil {
				return err
			}
		}
	}
	return nil
}
