package recur

import (
	"errors"
	"math/rand/v2"
	"strings"
	"testing"
	"time"
)

// TestZoneTable compares the table with the standard library's clock: just before, at and after each change, on each 31
// December of a leap year (where ZoneBounds goes wrong), and at random.
func TestZoneTable(t *testing.T) {
	random := rand.New(rand.NewPCG(5, 6))
	for name := range zoneNames() {
		zone := mustZone(t, name)
		var instants []int64
		for _, c := range zone.changes {
			if c.at < 6_000_000_000 {
				instants = append(instants, c.at-1, c.at, c.at+1)
			}
		}
		for year := 1900; year < 2600; year += 4 {
			newYear := time.Date(year+1, 1, 1, 0, 0, 0, 0, time.UTC).Unix()
			instants = append(instants, newYear-86400, newYear-43200, newYear)
		}
		for range 200 {
			instants = append(instants, random.Int64N(30_000_000_000)-5_000_000_000, firstInstant+random.Int64N(lastInstant-firstInstant))
		}
		for _, u := range instants {
			if got, want := zone.offset(zone.periodOf(u)), offsetOf(time.Unix(u, 0).In(zone.loc)); got != int64(want) {
				t.Fatalf("%s at %v: %d, want %d", name, time.Unix(u, 0).UTC(), got, want)
			}
		}
	}
}

// TestZonePeriodsAreLongerThanShifts holds what nextInPeriod rests on: the times that a change repeats or jumps over
// are over before the next change.
func TestZonePeriodsAreLongerThanShifts(t *testing.T) {
	for name := range zoneNames() {
		zone := mustZone(t, name)
		for i := 0; zone.begins(i) < cycleEnd+2*366*secondsPerDay; i++ {
			shift := zone.offset(i) - zone.offset(i-1)
			shift = max(shift, -shift)
			after := min(zone.begins(i+1), lastInstant) - zone.begins(i)
			before := zone.begins(i) - max(zone.begins(i-1), firstInstant)
			if shift > after || shift > before {
				t.Errorf("%s: shift of %d s at %v, %d s after one and %d s before another change", name, shift, time.Unix(zone.begins(i), 0).UTC(), before, after)
			}
		}
	}
}

func TestLoadZone(t *testing.T) {
	zone := mustZone(t, "")
	if zone.Name() != "UTC" || zone.Location().String() != "UTC" || zone != mustZone(t, "UTC") {
		t.Errorf("the default zone is %s", zone.Name())
	}
	if first, second := mustZone(t, "Europe/Berlin"), mustZone(t, "Europe/Berlin"); first != second {
		t.Error("a zone is not shared")
	}
	for name, want := range map[string]string{
		"Local":                    "refused, because it means another zone on another machine",
		"local":                    "refused",
		"Europe/Berlni":            "is unknown: did you mean Europe/Berlin",
		"europe/berlin":            "did you mean Europe/Berlin",
		"Berlin":                   "did you mean Europe/Berlin",
		"New York":                 "did you mean America/New_York",
		"Xyzzyxyzzy":               `"Xyzzyxyzzy" is unknown: write an IANA name`,
		"right/Europe/Berlin":      `write "Europe/Berlin"`,
		"../../etc/passwd":         "is unknown",
		strings.Repeat("a", 1<<20): "is unknown",
	} {
		if _, err := LoadZone(name); err == nil || !strings.Contains(err.Error(), want) || len(err.Error()) > 300 {
			t.Errorf("%.40q: %v does not say %q", name, err, want)
		}
	}
}

func TestLoadZoneWithoutData(t *testing.T) {
	_, err := loadLocation("Europe/Berlin", func(string) (*time.Location, error) { return nil, errors.New("none") })
	if err == nil || !strings.Contains(err.Error(), `no time zone data: import _ "time/tzdata"`) {
		t.Error(err)
	}
}

func BenchmarkLoadZone(b *testing.B) {
	for b.Loop() {
		LoadZone("Europe/Berlin")
	}
}
