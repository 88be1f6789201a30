package schedule_test

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/provost-go/provost/params"
	"github.com/provost-go/provost/schedule"
)

func TestRRule(t *testing.T) {
	tests := []struct {
		name, zone, rule, after string
		want                    []string
	}{
		{
			"a local time in a gap is shifted", "America/New_York", "FREQ=DAILY;BYHOUR=2;BYMINUTE=30", "2026-03-07T12:00:00Z",
			[]string{"03-08 03:30 -04:00", "03-09 02:30 -04:00"},
		},
		{
			"a local time in an overlap fires on the first pass", "America/New_York", "FREQ=WEEKLY;BYDAY=SU,MO;BYHOUR=1;BYMINUTE=30", "2026-10-31T12:00:00Z",
			[]string{"11-01 01:30 -04:00", "11-02 01:30 -05:00"},
		},
		{
			"hours are elapsed time", "America/New_York", "DTSTART:20260101T003000\nRRULE:FREQ=HOURLY", "2026-11-01T05:00:00Z",
			[]string{"11-01 01:30 -04:00", "11-01 01:30 -05:00", "11-01 02:30 -05:00"},
		},
		{
			"a date that does not exist merges into the next", "Pacific/Apia", "DTSTART:20110101T090000\nRRULE:FREQ=DAILY", "2011-12-29T12:00:00Z",
			[]string{"12-29 09:00 -10:00", "12-31 09:00 +14:00", "01-01 09:00 +14:00"},
		},
		{
			"the last workday", "Europe/Berlin", "FREQ=MONTHLY;BYDAY=MO,TU,WE,TH,FR;BYSETPOS=-1;BYHOUR=18", "2026-01-01T00:00:00Z",
			[]string{"01-30 18:00 +01:00", "02-27 18:00 +01:00", "03-31 18:00 +02:00"},
		},
		{
			"the zone of DTSTART", "Europe/Berlin", "DTSTART;TZID=Europe/Berlin:20260105T090000\nRRULE:FREQ=WEEKLY;COUNT=2", "2026-01-01T00:00:00Z",
			[]string{"01-05 09:00 +01:00", "01-12 09:00 +01:00"},
		},
		{
			"DTSTART is an instant of UTC, the rule is the zone's", "Europe/Berlin", "DTSTART:20260327T080000Z\nRRULE:FREQ=DAILY", "2026-03-01T00:00:00Z",
			[]string{"03-27 09:00 +01:00", "03-28 09:00 +01:00", "03-29 09:00 +02:00"},
		},
		{
			"without DTSTART the weeks are counted from 2020-01-01", "Europe/Berlin", "FREQ=WEEKLY;INTERVAL=2", "2026-01-01T00:00:00Z",
			[]string{"01-07 00:00 +01:00", "01-21 00:00 +01:00"},
		},
		{
			"dates and exceptions", "Europe/Berlin", "DTSTART:20260105T090000\nRRULE:FREQ=DAILY;COUNT=4\nRDATE:20260105T120000\nEXDATE:20260106T090000", "2026-01-01T00:00:00Z",
			[]string{"01-05 09:00 +01:00", "01-05 12:00 +01:00", "01-07 09:00 +01:00", "01-08 09:00 +01:00"},
		},
	}
	for _, test := range tests {
		sched := schedule.RRule(test.rule).In(test.zone)
		got := local(zone(t, test.zone), sched.Upcoming(at(t, test.after), len(test.want)))
		if !slices.Equal(got, test.want) {
			t.Errorf("%s: %s\n got %q\nwant %q (%v)", test.name, test.rule, got, test.want, sched.Err())
		}
	}
	berlin := schedule.RRule("DTSTART;TZID=Europe/Berlin:20260105T090000\nRRULE:FREQ=DAILY;COUNT=1")
	if next, ok := berlin.Next(time.Time{}); !ok || !next.Equal(at(t, "2026-01-05T08:00:00Z")) {
		t.Errorf("without In the rule fires at %v, want the zone of its TZID (%v)", next, berlin.Err())
	}
	if next, ok := berlin.Next(at(t, "2026-01-05T08:00:00Z")); ok {
		t.Errorf("the only instant is followed by %v", next)
	}
}

func TestRRuleBoundsAndExceptions(t *testing.T) {
	workdays := schedule.RRule("FREQ=DAILY;BYDAY=MO,TU,WE,TH,FR;BYHOUR=9").In("America/New_York")
	thirds := schedule.RRule("FREQ=MONTHLY;BYDAY=3MO") // Martin Luther King, Presidents' Day
	christmas := schedule.RRule("DTSTART:20201225T000000\nRRULE:FREQ=YEARLY\nRDATE:20261224T000000").In("Asia/Tokyo")
	tests := []struct {
		name     string
		schedule schedule.Schedule
		from     string
		want     []string
	}{
		{
			"from and until include their ends", workdays.From(at(t, "2026-01-05T14:00:00Z")).Until(at(t, "2026-01-06T14:00:00Z")),
			"2026-01-01T00:00:00Z",
			[]string{"01-05 09:00 -05:00", "01-06 09:00 -05:00"},
		},
		{
			"from comes before DTSTART", workdays.From(at(t, "2019-01-05T14:00:00Z")).Until(at(t, "2020-01-02T14:00:00Z")),
			"2018-01-01T00:00:00Z",
			[]string{"01-01 09:00 -05:00", "01-02 09:00 -05:00"},
		},
		{
			"until comes before UNTIL", schedule.RRule("FREQ=DAILY;UNTIL=20260110T000000").Until(at(t, "2026-01-06T00:00:00Z")).In("America/New_York"),
			"2026-01-04T00:00:00Z",
			[]string{"01-04 00:00 -05:00", "01-05 00:00 -05:00"},
		},
		{
			"except dates", workdays.Except("2026-01-06", "2026-01-07").Until(at(t, "2026-01-09T00:00:00Z")),
			"2026-01-05T00:00:00Z",
			[]string{"01-05 09:00 -05:00", "01-08 09:00 -05:00"},
		},
		{
			"except on a rule", workdays.ExceptOn(thirds).Until(at(t, "2026-01-21T00:00:00Z")),
			"2026-01-15T00:00:00Z",
			[]string{"01-15 09:00 -05:00", "01-16 09:00 -05:00", "01-20 09:00 -05:00"},
		},
		{
			"a cron except on a rule, whose dates are its zone's", schedule.Cron("0 9 * * *").In("America/New_York").ExceptOn(christmas).Until(at(t, "2026-12-27T00:00:00Z")),
			"2026-12-23T00:00:00Z",
			[]string{"12-23 09:00 -05:00", "12-26 09:00 -05:00"},
		},
		{
			"a rule except on a cron", workdays.ExceptOn(schedule.Cron("0 0 * * mon-thu")).Until(at(t, "2026-01-20T00:00:00Z")),
			"2026-01-01T00:00:00Z",
			[]string{"01-02 09:00 -05:00", "01-09 09:00 -05:00", "01-16 09:00 -05:00"},
		},
		{"nothing is left", workdays.ExceptOn(schedule.RRule("FREQ=HOURLY;INTERVAL=5")), "2026-01-01T00:00:00Z", nil},
	}
	for _, test := range tests {
		start := at(t, test.from)
		forward := test.schedule.Upcoming(start, 10)
		if got := local(zone(t, "America/New_York"), forward); !slices.Equal(got, test.want) {
			t.Errorf("%s: got %q, want %q (%v)", test.name, got, test.want, test.schedule.Err())
		}
		var backward []time.Time
		for i, ok := test.schedule.Prev(at(t, "2027-01-30T00:00:00Z")); ok && i.After(start); i, ok = test.schedule.Prev(i) {
			backward = append(backward, i)
		}
		slices.Reverse(backward)
		if !slices.Equal(forward, backward) {
			t.Errorf("%s: Next returns %v, Prev %v", test.name, forward, backward)
		}
	}
}

func TestRRuleErrors(t *testing.T) {
	for _, test := range []struct {
		schedule schedule.Schedule
		want     string
	}{
		{schedule.RRule(""), "is empty"},
		{schedule.RRule("DTSTART:20260105T090000"), "neither RRULE nor RDATE"},
		{schedule.RRule("FREQ=DAILY;UNTIL=20190101T000000"), "before DTSTART, which is 2020-01-01 00:00"},
		{schedule.RRule("FREQ=DAILY").CatchUp("latest"), `"all" or "none"`},
		{schedule.RRule("FREQ=FORTNIGHTLY"), "FREQ=FORTNIGHTLY"},
		{schedule.RRule("INTERVAL=2"), "FREQ"},
		{schedule.RRule("FREQ=DAILY;BYHOUR=24"), "24"},
		{schedule.RRule("FREQ=DAILY;COUNT=5;UNTIL=20270101T000000"), "COUNT and UNTIL"},
		{schedule.RRule("FREQ=MONTHLY;BYMONTH=2;BYMONTHDAY=30"), "never fires"},
		{schedule.RRule("FREQ=DAILY\nEXRULE:FREQ=DAILY"), "never fires"},
		{schedule.RRule("FREQ=DAILY;RSCALE=CHINESE"), "RSCALE"},
		{schedule.RRule("DTSTART;TZID=Europe/Berlin:20260105T090000\nRRULE:FREQ=DAILY").In("America/New_York"), "Europe/Berlin"},
		{schedule.RRule("DTSTART;TZID=Europe/Berln:20260105T090000\nRRULE:FREQ=DAILY"), "did you mean Europe/Berlin"},
		{schedule.RRule("FREQ=DAILY").In("Local"), "another zone on another machine"},
		{schedule.RRule("FREQ=DAILY").DayAnd(), "for Cron only"},
		{schedule.RRule("FREQ=DAILY").Anchor(time.Unix(0, 0)), "for Every only"},
		{schedule.RRule("FREQ=DAILY;BYDAY=" + strings.Repeat("MO,", 100_000) + "MO"), "at most"},
		{schedule.Cron("@daily").ExceptOn(schedule.RRule("FREQ=NEVER")), "ExceptOn: "},
	} {
		err := test.schedule.Err()
		if err == nil || !strings.Contains(err.Error(), test.want) || len(err.Error()) > 600 {
			t.Errorf("got %v, want an error with %q", err, test.want)
		}
		if next, ok := test.schedule.Next(time.Unix(0, 0)); ok || !next.IsZero() {
			t.Errorf("%v: Next returns %v", err, next)
		}
	}
}

func TestRRuleKey(t *testing.T) {
	base := schedule.RRule("FREQ=WEEKLY;BYDAY=MO,FR;BYHOUR=9").In("Europe/Berlin")
	for _, sched := range []schedule.Schedule{
		schedule.RRule("freq=weekly;byhour=9;byday=fr,mo,mo;interval=1;wkst=mo").In("Europe/Berlin"),
		schedule.RRule("RRULE:FREQ=WEEKLY;\r\n BYDAY=MO,FR;BYHOUR=9\r\n").In("Europe/Berlin"),
		base.Jitter(time.Minute).CatchUp(schedule.CatchUpAll).Paused().WithParameters(params.Params{"a": 1}),
	} {
		if sched.Key() != base.Key() || sched.Expr() != base.Expr() {
			t.Errorf("%q has the key %s, want that of %q, %s (%v)", sched.Expr(), sched.Key(), base.Expr(), base.Key(), sched.Err())
		}
	}
	seen := map[string]schedule.Schedule{base.Key(): base}
	for _, sched := range []schedule.Schedule{
		base.In(""), base.In("Europe/Paris"), base.From(time.Unix(0, 0)), base.Except("2026-12-25"), base.ExceptOn(schedule.RRule("FREQ=MONTHLY")),
		base.ExceptOn(schedule.RRule("FREQ=YEARLY")), schedule.RRule("FREQ=WEEKLY;BYDAY=MO,FR;BYHOUR=10").In("Europe/Berlin"),
		schedule.RRule("DTSTART:20260105T090000\nRRULE:FREQ=WEEKLY;BYDAY=MO,FR;BYHOUR=9").In("Europe/Berlin"), schedule.Cron("0 9 * * mon,fri").In("Europe/Berlin"),
		base.Named("mondays"),
	} {
		if other, ok := seen[sched.Key()]; ok {
			t.Errorf("%s and %s have the same key", sched, other)
		}
		seen[sched.Key()] = sched
	}
	if schedule.RRule("FREQ=DAILY").Key() != schedule.RRule("FREQ=DAILY").In("UTC").Key() {
		t.Error("no zone and UTC have two keys")
	}
	if base.ExceptOn(schedule.RRule("FREQ=MONTHLY")).Key() != base.ExceptOn(schedule.RRule("freq=monthly").In("UTC").Paused()).Key() {
		t.Error("one calendar written in two ways has two keys")
	}
}

func TestRRuleJSON(t *testing.T) {
	for _, text := range []string{
		`{"rrule":"FREQ=DAILY;BYHOUR=9"}`,
		`{"rrule":"freq=daily; byhour=9","timezone":"UTC"}`,
		`{"rrule":"DTSTART:20260105T090000\nRRULE:FREQ=MONTHLY;BYDAY=MO,TU,WE,TH,FR;BYSETPOS=-1\nEXDATE:20260130T090000","timezone":"Europe/Berlin"}`,
		`{"rrule":"DTSTART;TZID=Europe/Berlin:20260105T090000\r\nRRULE:FREQ=DAILY","from":"2026-02-01T00:00:00Z","except":["2026-12-25"],` +
			`"except_on":[{"rrule":"FREQ=YEARLY;BYMONTH=12;BYMONTHDAY=25,26","timezone":"Europe/Berlin"}],"jitter":"5m0s","slug":"nightly"}`,
	} {
		var sched, again schedule.Schedule
		if err := json.Unmarshal([]byte(text), &sched); err != nil {
			t.Errorf("%s: %v", text, err)
			continue
		}
		written, err := json.Marshal(sched)
		if err != nil || string(written) != text {
			t.Errorf("got  %s, %v\nwant %s", written, err, text)
		}
		if err := json.Unmarshal(written, &again); err != nil || again.Key() != sched.Key() || again.String() != sched.String() {
			t.Errorf("%s reads as %s, %v; want %s", written, again, err, sched)
		}
	}
	for text, want := range map[string]string{
		`{"rrule":""}`:                               "is empty",
		`{"rrule":"FREQ=DAILY;BYHOUR=25"}`:           "25",
		`{"rrule":"FREQ=DAILY","cron":"@daily"}`:     "two kinds",
		`{"rrule":5}`:                                "rrule",
		`{"rrule":"FREQ=DAILY","day_or":false}`:      "cron only",
		`{"rrule":"FREQ=DAILY","timezone":"Mars/X"}`: "Mars/X",
	} {
		var sched schedule.Schedule
		if err := json.Unmarshal([]byte(text), &sched); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v, want an error with %q", text, err, want)
		}
	}
}
