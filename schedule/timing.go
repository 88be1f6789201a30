package schedule

import (
	"errors"
	"sync"
	"time"

	"github.com/provost-go/provost/internal/recur"
)

// timing is a recurrence without bounds and exceptions.
type timing interface {
	sequence
	Describe() string
	Expr() string
}

// sequence is a set of instants that is searched in both directions.
type sequence interface {
	Next(after time.Time) (time.Time, bool)
	Prev(before time.Time) (time.Time, bool)
}

// newTiming returns the recurrence that a definition describes in a zone.
func (d *definition) newTiming(zone *recur.Zone) (timing, error) {
	switch d.kind {
	case kindCron:
		key := timingKey{expr: d.expr, zone: zone, dayAnd: d.dayAnd}
		return timings.getOrParse(key, func() (timing, error) { return recur.NewCron(d.expr, zone, d.dayAnd) })
	case kindInterval:
		return recur.NewInterval(d.interval, d.anchor, zone)
	case kindRRule:
		if d.zone == "" {
			zone = nil // DTSTART may name it
		}
		key := timingKey{expr: d.expr, zone: zone, rule: true}
		return timings.getOrParse(key, func() (timing, error) { return recur.NewRRule(d.expr, zone) })
	case kindAt:
		if d.at.IsZero() {
			return nil, errors.New("At has the zero time: give it the time to fire")
		}
		return once(d.at), checkInstant("At", d.at)
	default:
		return nil, errEmptySchedule
	}
}

// once is the timing of At.
type once time.Time

func (o once) Next(after time.Time) (time.Time, bool) {
	return time.Time(o), time.Time(o).After(after)
}

func (o once) Prev(before time.Time) (time.Time, bool) {
	return time.Time(o), time.Time(o).Before(before)
}

func (o once) Expr() string { return time.Time(o).Format(time.RFC3339Nano) }

func (o once) Describe() string { return "once at " + time.Time(o).Format(time.RFC3339) }

// timings caches parsed expressions: each refinement of a schedule compiles it again, and thousands
// of schedules share a few expressions.
var timings timingCache

// timingCache forgets everything when it is full.
type timingCache struct {
	mu     sync.Mutex
	parsed map[timingKey]timing
	size   int // bytes of the expressions
}

type timingKey struct {
	expr   string
	zone   *recur.Zone
	rule   bool // expr is a recurrence rule
	dayAnd bool
}

const (
	maxCached     = 4096
	maxCachedSize = 1 << 20 // bytes of expressions
)

// getOrParse returns the timing of a key. It does not cache errors.
func (c *timingCache) getOrParse(key timingKey, parse func() (timing, error)) (timing, error) {
	if t := c.get(key); t != nil {
		return t, nil
	}
	t, err := parse()
	if err != nil {
		return nil, err
	}
	c.put(key, t)
	return t, nil
}

func (c *timingCache) get(key timingKey) timing {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.parsed[key]
}

func (c *timingCache) put(key timingKey, t timing) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.parsed == nil || len(c.parsed) >= maxCached || c.size >= maxCachedSize {
		c.parsed = make(map[timingKey]timing)
		c.size = 0
	}
	c.parsed[key] = t
	c.size += len(key.expr)
}
