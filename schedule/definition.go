package schedule

import (
	"errors"
	"time"

	"github.com/provost-go/provost/internal/recur"
	"github.com/provost-go/provost/params"
)

// definition is what a Schedule was made of, and what compile computed from it. It never changes
// once a Schedule holds it.
type definition struct {
	kind       kind
	dayAnd     bool
	paused     bool
	catchUp    CatchUpPolicy
	expr       string        // cron expression or recurrence rule, as given
	interval   time.Duration // Every
	anchor     time.Time     // Every; zero: the default
	at         time.Time     // At
	zone       string        // as given; "" is UTC, or the zone of a rule's DTSTART
	window     time.Duration // CatchUpWindow; 0: the policy's own
	jitter     time.Duration
	slug       string
	parameters params.Params // as given
	filter     *filter       // nil: every instant of the timing

	timing   timing         // computed; nil if err is not
	location *time.Location // computed; UTC if the zone is wrong
	err      error          // computed; every mistake, joined
}

type kind uint8

const (
	kindCron kind = iota + 1
	kindInterval
	kindRRule
	kindAt
)

// filter holds the bounds and exceptions of a schedule. Few schedules have any.
type filter struct {
	from, until time.Time // zero: unbounded
	except      []string  // dates, sorted
	exceptOn    []Schedule
}

// excepts reports whether there are exceptions.
func (f *filter) excepts() bool { return f != nil && len(f.except)+len(f.exceptOn) > 0 }

// compile computes the timing, or finds everything that is wrong with the definition.
func (d *definition) compile() {
	zone, zoneErr := recur.LoadZone(d.zone)
	if zoneErr != nil {
		zone, _ = recur.LoadZone("") // to find the other mistakes
	}
	d.location = zone.Location()
	var err error
	d.timing, err = d.newTiming(zone)
	if rule, ok := d.timing.(*recur.RRule); ok {
		d.location = rule.Zone().Location()
	}
	d.err = errors.Join(append([]error{zoneErr, err}, d.check()...)...)
	if d.err != nil {
		d.timing = nil
	}
}

// location returns the zone in which dates are compared and printed, UTC for the zero Schedule.
func (s Schedule) location() *time.Location {
	if s.definition == nil {
		return time.UTC
	}
	return s.definition.location
}
