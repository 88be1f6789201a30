package schedule_test

import (
	"fmt"
	"os"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/provost-go/provost/schedule"
)

// TestScheduleDocs checks the worked examples in docs/schedules.md.
func TestScheduleDocs(t *testing.T) {
	text, err := os.ReadFile("../docs/schedules.md")
	if err != nil {
		t.Fatal(err)
	}
	row := regexp.MustCompile("(?m)^\\| `(Cron|Every|RRule)\\(\"(.+)\"\\)` \\| (\\S+) \\| (\\S+ \\S+) \\| (.+) \\|$")
	rows := row.FindAllStringSubmatch(string(text), -1)
	if len(rows) < 14 {
		t.Fatalf("the table has %d rows that the test can read, want 14 or more", len(rows))
	}
	for _, cells := range rows {
		kind, expr, zone, start := cells[1], cells[2], cells[3], cells[4]
		want := strings.ReplaceAll(cells[5], "**", "")
		s := docsSchedule(t, kind, expr).In(zone)
		location, err := time.LoadLocation(zone)
		if err != nil {
			t.Fatal(err)
		}
		from, err := time.ParseInLocation("2006-01-02 15:04", start, location)
		if err != nil {
			t.Fatal(err)
		}
		var fires []string
		for _, at := range s.Upcoming(from.Add(-1), strings.Count(want, ",")+1) {
			fires = append(fires, strings.TrimSuffix(at.In(location).Format("01-02 15:04 -07:00"), ":00"))
		}
		if got := strings.Join(fires, ", "); got != want {
			t.Errorf("%s in %s from %s fires\n%s\nbut docs/schedules.md has\n%s", s, zone, start, got, want)
		}
	}
}

func docsSchedule(t *testing.T, kind, expr string) schedule.Schedule {
	t.Helper()
	switch kind {
	case "Cron":
		return schedule.Cron(expr)
	case "RRule":
		return schedule.RRule(expr)
	}
	d, err := time.ParseDuration(expr)
	if err != nil {
		t.Fatal(fmt.Errorf("%s: %w", kind, err))
	}
	return schedule.Every(d)
}
