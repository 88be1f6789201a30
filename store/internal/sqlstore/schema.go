package sqlstore

import "strings"

// Table is a table with its columns, those of its key first.
type Table struct {
	Name    string
	Key     int // number of columns of the key
	Columns []Column
}

// Column is a column of a table.
type Column struct {
	Name string
	Type Type
}

// Type is a type of column that the databases share.
type Type uint8

// The types of columns.
const (
	ID   Type = iota // a UUID
	Int              // 64 bits
	Text             // UTF-8
)

func table(name string, key int, columns ...Column) *Table { return &Table{name, key, columns} }

func ids(names string) []Column   { return columns(ID, names) }
func ints(names string) []Column  { return columns(Int, names) }
func texts(names string) []Column { return columns(Text, names) }

func columns(t Type, names string) []Column {
	var list []Column
	for _, name := range strings.Fields(names) {
		list = append(list, Column{name, t})
	}
	return list
}

func join(lists ...[]Column) []Column {
	var all []Column
	for _, list := range lists {
		all = append(all, list...)
	}
	return all
}

// set names all columns but the key, for an update of the whole row.
func (t *Table) set() []string {
	var list []string
	for _, c := range t.Columns[t.Key:] {
		list = append(list, c.Name)
	}
	return list
}

// The tables. The part of a run that never changes is in run, written when the run is created.
// Until the run finishes it also has a narrow row in due, which claims and renewals write. When it
// finishes, a row in end replaces that row. So wide rows are never rewritten, and a claim never
// passes over finished runs.
var (
	flowTable = table("provost_flow", 1, join(ids("id"), texts("name"), ints("created"))...)

	deploymentTable = table("provost_deployment", 1, join(
		ids("id"), ints("serial"), ids("flow_id"), texts("flow name limit_key"),
		ints("lane attended priority limit_size gap last_served generation created updated"), texts("version digest pause record"),
	)...)

	scheduleTable = table("provost_schedule", 2, join(
		ids("deployment"), texts("name"), ints("position active plan_time watermark planned complete gap gap_found served_until"),
		ints("paused_from paused_until retired_at"), ids("last_skip"), texts("pause spec gone"),
	)...)

	runnerTable     = table("provost_runner", 1, join(ids("id claim"), texts("name version"), ints("started seen_at until deployments"))...)
	servingTable    = table("provost_serving", 2, ids("deployment runner")...)
	laneTable       = table("provost_lane", 1, join(ints("id priority"), texts("name"))...)
	runnerLaneTable = table("provost_runner_lane", 2, join(ids("runner"), ints("lane"))...)
	limitTable      = table("provost_slots", 1, join(texts("name"), ints("size sequence"))...)

	dueTable = table("provost_due", 1, join(
		ids("id deployment"), ints("serial lane claimable due scheduled lease ttl token begun"),
		ints("turn rank attempt crashes flags state_at start"), ids("claim parent root"),
		texts("schedule queue slot state state_name settled runner version states"),
	)...)

	runTable = table("provost_run", 1, join(
		ids("id deployment"), ints("serial"), ids("flow_id parent root"), texts("flow deployment_name name schedule key params tags"),
		ints("scheduled"),
	)...)

	endTable = table("provost_end", 1, join(
		ids("id deployment"), ints("ended due start token begun attempt crashes flags"), texts("state state_name settled runner version states result"),
	)...)

	skipTable = table("provost_skip", 1, join(
		ids("id deployment"), texts("schedule timing reason"), ints("first_at last_at skipped"),
	)...)

	logTable      = table("provost_log", 2, join(ids("run"), ints("seq at level"), texts("message"))...)
	logStateTable = table("provost_log_state", 1, join(ids("run"), ints("lines size dropped token given lost"))...)
)

// metaTable has the version of the schema, and numbers that are counted up.
var metaTable = table("provost_meta", 1, join(texts("name"), ints("value"))...)

var tables = []*Table{
	metaTable, flowTable, deploymentTable, scheduleTable, runnerTable, servingTable, laneTable, runnerLaneTable, limitTable, dueTable, runTable, endTable,
	skipTable, logTable, logStateTable,
}

// nullable columns; the others never are.
var nullable = map[string]bool{
	"provost_deployment.limit_key": true, "provost_schedule.plan_time": true, "provost_schedule.gap_found": true, "provost_schedule.paused_from": true,
	"provost_schedule.paused_until": true, "provost_schedule.retired_at": true, "provost_schedule.last_skip": true, "provost_runner.claim": true,
	"provost_due.lane": true, "provost_due.lease": true, "provost_due.start": true, "provost_due.claim": true, "provost_due.parent": true, "provost_due.root": true,
	"provost_due.queue": true, "provost_due.slot": true, "provost_due.due": true,
	"provost_run.parent": true, "provost_run.root": true, "provost_run.schedule": true, "provost_run.key": true,
	"provost_end.due": true, "provost_end.start": true, "provost_end.result": true,
}

var indexes = []string{
	"UNIQUE INDEX provost_flow_name ON provost_flow (name)",
	"UNIQUE INDEX provost_deployment_handle ON provost_deployment (flow, name)",
	"INDEX provost_deployment_limit ON provost_deployment (limit_key) WHERE limit_key IS NOT NULL",
	"INDEX provost_deployment_lane ON provost_deployment (lane)",
	"INDEX provost_deployment_gap ON provost_deployment (gap) WHERE gap <> 0",
	"INDEX provost_schedule_plan ON provost_schedule (plan_time) WHERE active <> 0 AND plan_time IS NOT NULL",
	"INDEX provost_serving_runner ON provost_serving (runner)",
	"UNIQUE INDEX provost_lane_name ON provost_lane (name)",
	"INDEX provost_due_claim ON provost_due (lane, claimable, due, scheduled, id) WHERE lane IS NOT NULL",
	"INDEX provost_due_instant ON provost_due (deployment, schedule, scheduled) WHERE schedule <> ''",
	"INDEX provost_due_again ON provost_due (deployment) WHERE lane IS NOT NULL AND token > 0",
	"INDEX provost_due_lease ON provost_due (lease, id) WHERE lease IS NOT NULL",
	"INDEX provost_due_queue ON provost_due (queue, rank, turn) WHERE queue IS NOT NULL",
	"INDEX provost_due_waiting ON provost_due (deployment, rank, turn) WHERE queue IS NOT NULL",
	"INDEX provost_due_slot ON provost_due (slot) WHERE slot IS NOT NULL",
	"INDEX provost_due_parent ON provost_due (parent) WHERE parent IS NOT NULL",
	"INDEX provost_due_root ON provost_due (root) WHERE root IS NOT NULL",
	"INDEX provost_run_deployment ON provost_run (deployment, id)",
	"INDEX provost_run_parent ON provost_run (parent, id) WHERE parent IS NOT NULL",
	"INDEX provost_end_deployment ON provost_end (deployment, ended, id)",
	"INDEX provost_end_trouble ON provost_end (state, id) WHERE state <> 'COMPLETED'",
	"UNIQUE INDEX provost_run_key ON provost_run (deployment, key) WHERE key IS NOT NULL",
	"UNIQUE INDEX provost_run_instant ON provost_run (deployment, serial, schedule, scheduled) WHERE schedule IS NOT NULL",
	"INDEX provost_skip_schedule ON provost_skip (deployment, schedule, id)",
}

// Dialect is how a database writes the schema.
type Dialect struct {
	Types  [3]string // by Type
	Suffix string    // of CREATE TABLE
	Known  string    // query that counts the tables of the name provost_meta
	Tuning []string  // statements for tables that are there
}

// Schema returns the statements that make the tables in an empty database.
func Schema(d Dialect) []string {
	var list []string
	for _, t := range tables {
		var b strings.Builder
		b.WriteString("CREATE TABLE " + t.Name + " (")
		for _, c := range t.Columns {
			b.WriteString("\n\t" + c.Name + " " + d.Types[c.Type])
			if !nullable[t.Name+"."+c.Name] {
				b.WriteString(" NOT NULL")
			}
			b.WriteString(",")
		}
		var key []string
		for _, c := range t.Columns[:t.Key] {
			key = append(key, c.Name)
		}
		b.WriteString("\n\tPRIMARY KEY (" + strings.Join(key, ", ") + ")\n)" + d.Suffix)
		list = append(list, b.String())
	}
	for _, index := range indexes {
		list = append(list, "CREATE "+index)
	}
	list = append(list, d.Tuning...)
	return append(list, "INSERT INTO provost_meta (name, value) VALUES ('serial', 0), ('lane', 0), ('behind', "+last+")")
}
