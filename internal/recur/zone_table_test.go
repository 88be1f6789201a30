package recur

import (
	"archive/zip"
	"go/build"
	"io"
	"math/rand/v2"
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"

	"github.com/provost-go/provost/internal/testenv"
)

// TestZoneTable compares the tables with the clock of time.Time, for the zones of the machine and
// for those of the Go distribution. The latter list few changes and have a rule for the rest, the
// former often list many: time.Time takes a different path through each.
func TestZoneTable(t *testing.T) {
	t.Run("machine", func(t *testing.T) {
		t.Parallel()
		in2000(t, func(t *testing.T) {
			for name := range zoneNames() {
				if testenv.Race && len(name)%8 != 0 {
					continue
				}
				loc, err := time.LoadLocation(name)
				if err != nil {
					t.Fatal(err)
				}
				compareTable(t, newZone(name, loc))
			}
		})
	})
	t.Run("distribution", func(t *testing.T) {
		t.Parallel()
		data := distributedZones(t)
		in2000(t, func(t *testing.T) {
			for name := range data {
				if testenv.Race && len(name)%8 != 0 {
					continue
				}
				compareTable(t, loadData(t, data, name))
			}
		})
	})
}

// in2000 calls f in a synctest bubble, where the year is 2000. What time.Time returns for a zone
// depends on when the zone was loaded (see TestZoneInTheYearOfItsLastChange); in 2000 every zone is
// read correctly.
func in2000(t *testing.T, f func(t *testing.T)) { synctest.Test(t, f) }

// compareTable compares the offset at, just before and just after each change; all day on each 31
// December of a leap year, where ZoneBounds returns an end before the time it is asked about; on a
// grid, so that no change goes unnoticed for long; and at random.
func compareTable(t *testing.T, zone *Zone) {
	var instants []int64
	for _, c := range zone.changes {
		if c.at < 6_000_000_000 {
			instants = append(instants, c.at-1, c.at, c.at+1)
		}
	}
	for year := 1904; year < 2600; year += 4 {
		newYear := time.Date(year+1, 1, 1, 0, 0, 0, 0, time.UTC).Unix()
		for hour := range int64(27) {
			instants = append(instants, newYear-(25-hour)*3600)
		}
	}
	const dense = 41 * 3600
	for u := int64(0); u < sweepUntil; u += dense {
		instants = append(instants, u)
	}
	for u := int64(-4_200_000_000); u < cycleStart+secondsPerDay*1500; u += 8 * dense { // from 1836 on
		instants = append(instants, u)
	}
	random := rand.New(rand.NewPCG(5, 6))
	for range 200 {
		instants = append(instants, random.Int64N(30_000_000_000)-5_000_000_000, firstInstant+random.Int64N(lastInstant-firstInstant))
	}
	for _, u := range instants {
		if got, want := zone.offset(zone.periodOf(u)), offsetOf(time.Unix(u, 0).In(zone.loc)); got != int64(want) {
			t.Errorf("%s at %v: %d, want %d", zone.name, time.Unix(u, 0).UTC(), got, want)
			return
		}
	}
}

// TestZoneChanges compares the changes of a year with those of zdump(8), in zones whose listed
// changes end within a year to which their rule applies too: ZoneBounds then starts a period before
// the change that begins it.
func TestZoneChanges(t *testing.T) {
	data := distributedZones(t)
	for _, test := range zoneChanges {
		t.Run(test.zone, func(t *testing.T) {
			in2000(t, func(t *testing.T) {
				compareChanges(t, loadData(t, data, test.zone), test.from, test.changes)
			})
		})
	}
}

// TestZoneInTheYearOfItsLastChange loads a zone at a time when time.Time is wrong about it: in the
// year of its last listed change, time.Time applies the rule for later years from 1 January on. The
// table must not.
func TestZoneInTheYearOfItsLastChange(t *testing.T) {
	data := distributedZones(t)
	for _, test := range zoneChanges {
		t.Run(test.zone, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				time.Sleep(time.Until(time.Unix(test.loaded, 0)))
				compareChanges(t, loadData(t, data, test.zone), test.from, test.changes)
			})
		})
	}
}

var zoneChanges = []struct {
	zone         string
	from, loaded int64
	changes      []change
}{
	{"America/Indiana/Winamac", 1_136_073_600, 1_183_248_000, []change{ // from 2006-01-01, loaded 2007-07-01
		{1_162_105_200, -6 * 3600}, {1_173_600_000, -4 * 3600}, {1_194_156_000, -5 * 3600},
	}},
	{"America/Metlakatla", 1_514_764_800, 1_561_939_200, []change{ // from 2018-01-01, loaded 2019-07-01
		{1_520_766_000, -8 * 3600}, {1_547_978_400, -9 * 3600}, {1_552_215_600, -8 * 3600}, {1_572_775_200, -9 * 3600},
	}},
}

func compareChanges(t *testing.T, zone *Zone, from int64, want []change) {
	i := zone.periodOf(from) + 1
	for _, c := range want {
		if zone.begins(i) != c.at || zone.offset(i) != int64(c.offset) {
			t.Errorf("%s changes at %v to %d, want %v, %d", zone.name, time.Unix(zone.begins(i), 0).UTC(), zone.offset(i), time.Unix(c.at, 0).UTC(), c.offset)
		}
		i++
	}
}

// distributedZones returns the zone files of the Go distribution, by name.
func distributedZones(t *testing.T) map[string][]byte {
	t.Helper()
	if build.Default.GOROOT == "" {
		t.Skip("the Go distribution is not known: set GOROOT to compare its zones too")
	}
	archive, err := zip.OpenReader(filepath.Join(build.Default.GOROOT, "lib", "time", "zoneinfo.zip"))
	if err != nil {
		t.Fatal(err)
	}
	defer archive.Close()
	data := make(map[string][]byte)
	for _, file := range archive.File {
		if file.FileInfo().IsDir() {
			continue
		}
		content, err := file.Open()
		if err != nil {
			t.Fatal(err)
		}
		if data[file.Name], err = io.ReadAll(content); err != nil {
			t.Fatal(err)
		}
	}
	return data
}

func loadData(t *testing.T, data map[string][]byte, name string) *Zone {
	t.Helper()
	loc, err := time.LoadLocationFromTZData(name, data[name])
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	return newZone(name, loc)
}
