package recur

import (
	"strings"
	"testing"
)

func TestRRuleDescribe(t *testing.T) {
	for _, test := range []struct{ text, zone, want string }{
		{"FREQ=DAILY;BYHOUR=9", "", "every day at 09:00"},
		{"FREQ=DAILY;COUNT=1", "", "every day at 00:00, once"},
		{"FREQ=DAILY;COUNT=3", "", "every day at 00:00, 3 times"},
		{"FREQ=WEEKLY;BYDAY=MO,TU,WE,TH,FR", "", "every weekday at 00:00"},
		{"FREQ=WEEKLY;INTERVAL=2;BYDAY=FR,MO", "", "every 2 weeks on Monday and Friday at 00:00"},
		{"FREQ=YEARLY;BYWEEKNO=20;BYDAY=MO", "", "every year in the 20th week on Monday at 00:00"},
		{"FREQ=MONTHLY;BYDAY=FR;BYMONTHDAY=13", "", "every month on the 13th if it is a Friday at 00:00"},

		// Many days of a period are not one day.
		{"FREQ=DAILY;BYDAY=MO", "", "every day on Mondays at 00:00"},
		{"FREQ=MONTHLY;BYDAY=MO,-1FR", "", "every month on Mondays and the last Friday at 00:00"},
		{"FREQ=YEARLY;BYDAY=MO", "", "every year on Mondays at 00:00"},
		{"FREQ=MONTHLY;BYDAY=MO,TU,WE,TH,FR;BYSETPOS=-1", "", "every month on weekdays at 00:00 (only the last of these)"},
		{"FREQ=WEEKLY;BYDAY=TU,TH;BYSETPOS=-1", "", "every week on Tuesday and Thursday at 00:00 (only the last of these)"},

		// Dates are on the rule's clock, whatever zone they are written in.
		{"RDATE:20260106T090000", "", "on 2026-01-06 09:00"},
		{"DTSTART:20260105T090000Z\nRDATE:20260105T090000Z,20260106T233000Z", "Asia/Tokyo", "on 2026-01-05 18:00 and 2026-01-07 08:30"},
		{
			"FREQ=DAILY\nRDATE;TZID=America/New_York:20260106T093000\nEXDATE:20260107T230000Z", "Europe/Berlin",
			"every day at 00:00, and on 2026-01-06 15:30, except on 2026-01-08 00:00",
		},
	} {
		if r, err := NewRRule(test.text, mustZone(t, test.zone)); err != nil || r.Describe() != test.want {
			t.Errorf("%q: got %q, %v; want %q", test.text, r.Describe(), err, test.want)
		}
	}
}

// TestRRuleExpr compares pairs of texts that mean the same.
func TestRRuleExpr(t *testing.T) {
	for _, test := range [][2]string{
		{"FREQ=DAILY\nFREQ=WEEKLY;BYDAY=MO;BYHOUR=9", "FREQ=WEEKLY;BYHOUR=9;BYDAY=MO\nFREQ=DAILY"},
		{"FREQ=DAILY", "RRULE:FREQ=DAILY\nRRULE:FREQ=DAILY;INTERVAL=1"},
		{"FREQ=HOURLY\nEXRULE:FREQ=DAILY\nEXRULE:FREQ=MONTHLY", "EXRULE:FREQ=MONTHLY\nEXRULE:FREQ=DAILY\nRRULE:FREQ=HOURLY"},
		{"FREQ=DAILY\nRDATE:20260101T010000Z", "FREQ=DAILY\nRDATE;TZID=UTC:20260101T010000"},
	} {
		zone := mustZone(t, "Europe/Berlin")
		first, err := NewRRule(test[0], zone)
		if err != nil {
			t.Fatal(err)
		}
		second, err := NewRRule(test[1], zone)
		if err != nil || first.Expr() != second.Expr() {
			t.Errorf("%q and %q have the expressions %q and %q (%v)", test[0], test[1], first.Expr(), second.Expr(), err)
		}
		if again, err := NewRRule(first.Expr(), zone); err != nil || again.Expr() != first.Expr() {
			t.Errorf("%q is read as %q (%v)", first.Expr(), again.Expr(), err)
		}
	}
}

// The default DTSTART is an anchor only, not an instant.
func TestRRuleOfDatesAlone(t *testing.T) {
	r, err := NewRRule("RDATE:20260106T090000,20260107T090000", mustZone(t, "Europe/Berlin"))
	if err != nil {
		t.Fatal(err)
	}
	want := localInstant(t, r.zone, "2026-01-06T09:00:00")
	if got, ok := r.Next(localInstant(t, r.zone, "2000-01-01T00:00:00")); !ok || !got.Equal(want) {
		t.Errorf("the first instant is %v, want %v", got, want)
	}
	if got, ok := r.Prev(want); ok {
		t.Errorf("%v precedes the first date", got)
	}
}

func TestRRuleSaysWhereExceptionsEndIt(t *testing.T) {
	_, err := NewRRule("FREQ=DAILY\nEXRULE:FREQ=DAILY;UNTIL=20400101T000000", mustZone(t, ""))
	if err == nil || !strings.Contains(err.Error(), "or the first 5000") {
		t.Errorf("got %v", err)
	}
}
