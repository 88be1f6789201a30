package provost

import (
	"time"

	"github.com/provost-go/provost/schedule"
)

// Schedule says when a deployment runs; see [schedule.Schedule] for its methods and package
// schedule for its rules.
type Schedule = schedule.Schedule

// Cron makes a schedule from a cron expression of five fields or a name such as @daily: see
// [schedule.Cron].
//
// Daylight saving follows the rule of ISC cron: a schedule at a fixed time of day fires exactly
// once for each matching local date and time, even when the clocks change; one whose hour or minute
// begins with * fires whenever the local clock matches.
func Cron(expr string) Schedule { return schedule.Cron(expr) }

// Every makes a schedule with a fixed interval of at least a millisecond: see [schedule.Every]. Its
// ticks are counted from an anchor, not from the start of the program, so that Every(time.Hour)
// fires on the hour.
func Every(d time.Duration) Schedule { return schedule.Every(d) }

// RRule makes a schedule from a recurrence rule of RFC 5545, such as
// "FREQ=MONTHLY;BYDAY=-1FR;BYHOUR=18": see [schedule.RRule].
func RRule(rule string) Schedule { return schedule.RRule(rule) }

// At makes a schedule that fires once.
func At(t time.Time) Schedule { return schedule.At(t) }

// CatchUpPolicy decides what happens to the instants that pass while no runner serves a deployment;
// see [schedule.CatchUpPolicy].
type CatchUpPolicy = schedule.CatchUpPolicy

// The catch-up policies.
const (
	CatchUpLatest = schedule.CatchUpLatest // the newest instant runs; this is the default
	CatchUpAll    = schedule.CatchUpAll    // the newest 100 within 24 hours run, oldest first
	CatchUpNone   = schedule.CatchUpNone   // nothing runs, except the newest instant if it is at most a minute old
)
