package recur

import (
	"errors"
	"strings"
	"testing"
	"time"
)

// TestZonePeriodsAreLongerThanShifts checks an assumption of nextInPeriod: the times that a change
// repeats or jumps over end before the next change.
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
			t.Errorf("%.40q: got error %v, want one with %q", name, err, want)
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
