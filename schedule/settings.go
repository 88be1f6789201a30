package schedule

import (
	"crypto/sha256"
	"encoding/binary"
	"time"

	"github.com/google/uuid"

	"github.com/provost-go/provost/internal/param"
	"github.com/provost-go/provost/params"
)

// CatchUpPolicy decides what happens to the instants that pass while no runner serves the
// deployment. Instants that do not run are recorded as skipped.
type CatchUpPolicy string

// The catch-up policies.
const (
	CatchUpLatest CatchUpPolicy = ""     // the newest instant runs, however old unless CatchUpWindow limits it
	CatchUpAll    CatchUpPolicy = "all"  // the newest 100 within 24 hours (or CatchUpWindow) run, oldest first
	CatchUpNone   CatchUpPolicy = "none" // nothing runs, except the newest instant if it is at most a minute old
)

// CatchUpRule returns what [Schedule.CatchUp] and [Schedule.CatchUpWindow] set. A window of 0 is
// the policy's own limit. For the zero Schedule it returns CatchUpLatest and 0, the defaults.
func (s Schedule) CatchUpRule() (policy CatchUpPolicy, window time.Duration) {
	if s.definition == nil {
		return CatchUpLatest, 0
	}
	return s.definition.catchUp, s.definition.window
}

// IsPaused reports whether the schedule was declared with [Schedule.Paused]. It does not know of an
// operator's pause. It is false for the zero Schedule.
func (s Schedule) IsPaused() bool { return s.definition != nil && s.definition.paused }

// Parameters returns the parameters of [Schedule.WithParameters] as they are stored: nil, bool,
// string, json.Number, []any and map[string]any only. It returns nil if there are none, for the
// zero Schedule, and for parameters that Err reports. The caller must not change them.
func (s Schedule) Parameters() params.Params {
	p, err := param.Normalize(s.GivenParameters())
	if err != nil {
		return nil // Err reports it
	}
	return p
}

// GivenParameters returns the parameters as [Schedule.WithParameters] took them: Go values and
// [params.Secret] values keep their types. It returns nil if there are none and for the zero
// Schedule. The caller must not change them.
func (s Schedule) GivenParameters() params.Params {
	if s.definition == nil {
		return nil
	}
	return s.definition.parameters
}

// DueTime returns when the run of an instant is due: at plus a delay of 0 to the limit of
// [Schedule.Jitter], in whole microseconds, that ends at least a microsecond before the next
// instant. The delay is a hash of the arguments, so that it is the same in every process; key is
// normally [Schedule.Key]. Without jitter, and for the zero Schedule, DueTime returns at.
func (s Schedule) DueTime(deployment uuid.UUID, key string, at time.Time) time.Time {
	if s.definition == nil {
		return at
	}
	limit := s.definition.jitter
	if limit == 0 {
		return at
	}
	if next, ok := s.Next(at); ok {
		limit = min(limit, next.Sub(at)-time.Microsecond)
	}
	steps := uint64(limit / time.Microsecond)
	if limit <= 0 || steps == 0 {
		return at
	}
	h := sha256.New()
	h.Write(deployment[:])
	h.Write([]byte(key))
	var nominal [8]byte
	binary.BigEndian.PutUint64(nominal[:], uint64(at.UnixMicro()))
	h.Write(nominal[:])
	var sum [sha256.Size]byte
	draw := binary.BigEndian.Uint64(h.Sum(sum[:0]))
	return at.Add(time.Duration(draw%(steps+1)) * time.Microsecond)
}
