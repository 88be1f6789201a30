package recur

import (
	"strings"
	"testing"
)

// refusals are expressions with a part of their error.
var refusals = []struct{ expr, want string }{
	{"", "is empty"},
	{"   ", "is empty"},
	{"* * * *", "has 4 fields: write five"},
	{"0 * * * * *", "has 6 fields: write five (minute, hour, day of month, month, day of week); there are no seconds: leave out the first field, or use an interval schedule"},
	{"* * * * * * *", "has 7 fields: write five (minute, hour, day of month, month, day of week); there are no seconds and no years: leave out"},
	{"0 1, 2 * * *", `a space splits the list at "1,": remove the space`},
	{"0 1 ,2 * * *", `a space splits the list at ",2"`},
	{"0 24 * * *", `field 2 (hour) is "24": hours go from 0 to 23`},
	{"60 * * * *", `field 1 (minute) is "60": minutes go from 0 to 59`},
	{"99999999999999999999 * * * *", "minutes go from 0 to 59"},
	{"0 0 0 * *", `field 3 (day of month) is "0": days of the month go from 1 to 31`},
	{"0 0 32 * *", "days of the month go from 1 to 31"},
	{"0 0 * 13 *", "months go from 1 to 12, or jan to dec"},
	{"0 0 * foo *", `field 4 (month) is "foo": "foo" is not a number: months go from 1 to 12`},
	{"0 0 * * 8", "days of the week go from 0 (Sunday) to 7 (Sunday again), or sun to sat"},
	{"0 0 * * friday", `field 5 (day of week) is "friday": "friday" is not a number: days of the week go from 0 (Sunday) to 7 (Sunday again), or sun to sat`},
	{"0 0 mon-fri * *", "days of the month go from 1 to 31; field 5 (day of week) accepts it"},
	{"0 0 * mon jan", "months go from 1 to 12, or jan to dec; field 5 (day of week) accepts it"},
	{", * * * *", `field 1 (minute) is ",": no value: write * for every one; minutes go from 0 to 59`},
	{"0 ,,, * * *", `field 2 (hour) is ",,,": no value`},
	{"0 0 * * ,", `field 5 (day of week) is ",": no value`},
	{"1,,2 * * * *", `field 1 (minute) is "1,,2": a list has an empty item: remove the extra comma`},
	{"0 1, * * *", `field 2 (hour) is "1,": a list has an empty item`},
	{"0 0 * ,1 *", `field 4 (month) is ",1": a list has an empty item`},
	{"*-5 * * * *", `"*-5" mixes * with other text`},
	{"** * * * *", "mixes * with other text"},
	{"+5 * * * *", `"+5" is not a number`},
	{"-5 * * * *", "a number is missing"},
	{"5- * * * *", "a number is missing"},
	{"1-2-3 * * * *", `"2-3" is not a number`},
	{"5.5 * * * *", "is not a number"},
	{"٣ * * * *", "is not a number"},
	{"*/0 * * * *", `the step "0" is not a positive number`},
	{"*/ * * * *", `the step "" is not a positive number`},
	{"*/-1 * * * *", "is not a positive number"},
	{"*/60 * * * *", `field 1 (minute) is "*/60": the step "60" is beyond the range, so only its first value would match: write that value alone, or a step up to 59`},
	{"0 */24 * * *", `field 2 (hour) is "*/24": the step "24" is beyond the range`},
	{"0 0 */31 * *", "or a step up to 30"},
	{"0 0 * */12 *", "or a step up to 11"},
	{"0 0 * * */7", "or a step up to 6"},
	{"0-10/20 * * * *", "or a step up to 10"},
	{"50/10 * * * *", "or a step up to 9"},
	{"*/70000 * * * *", `the step "70000" is beyond`},
	{"*/2/3 * * * *", "is not a positive number"},
	{"TZ=UTC", `begins with the time zone "TZ=UTC": remove it here and set the schedule's time zone`},
	{"TZ= * * * * *", "begins with the time zone"},
	{"cron_tz=Europe/Berlin 0 0 * * *", `begins with the time zone "cron_tz=Europe/Berlin"`},
	{"@every 5m", "counts from the start of a process: use an interval schedule"},
	{"@Every", "use an interval schedule"},
	{"@reboot", "names no time: start a run by hand"},
	{"@dayly", "is not a known name: use @hourly"},
	{"@daily 5", "is not a known name"},
	{"@", "is not a known name"},
	{"0 0 31 2 *", `never fires: no date matches field 3 (day of month) "31" and field 4 (month) "2": change one of them, or write L in field 3 for the last day of a month`},
	{"0 0 L-29 2 *", "never fires"},
	{"0 0 15W * */6", "never fires: no date matches field 3 (day of month) \"15W\" and field 5 (day of week) \"*/6\": change one"},
	{"0 0 30 feb *", "never fires"},
	{"0 0 31 4,6,9,11 *", "never fires"},
	{"0 0 31W feb *", "never fires"},
	{"L * * * *", `"l" is not a number: minutes go from 0 to 59; field 3 (day of month) accepts it`},
	{"0 0 * * L", "a bare L names no weekday: write 5L for the last Friday; field 3 (day of month) accepts it"},
	{"0 0 * * LW", "field 3 (day of month) accepts it"},
	{"0 0 * * L-3", "field 3 (day of month) accepts it"},
	{"0 0 * * 15W", "field 3 (day of month) accepts it"},
	{"0 0 5L * *", "days of the month go from 1 to 31; field 5 (day of week) accepts it"},
	{"0 0 5#2 * *", "field 5 (day of week) accepts it"},
	{"0 0 * * 8L", "days of the week go from 0"},
	{"0 0 * * 5#6", `the number "6" after # is not 1 to 5`},
	{"0 0 * * 5#", "after # is not 1 to 5"},
	{"0 0 * * #2", "a number is missing"},
	{"0 0 W * *", "W follows one day, as in 15W"},
	{"0 0 32W * *", "or L, as in LW"},
	{"0 0 1-5W * *", "W follows one day"},
	{"0 0 L- * *", `the number "" after L- is not 1 to 30: write L-3 for the third day before the last`},
	{"0 0 L-0 * *", `the number "0" after L- is not 1 to 30`},
	{"0 0 L-31 * *", "is not 1 to 30"},
	{"0 0 L-3W * *", `the number "3w" after L-`},
	{"0 0 L-+3 * *", "after L- is not"},
	{strings.Repeat("*", 600), "at most 512"},
}

func TestCronRefusals(t *testing.T) {
	zone := mustZone(t, "UTC")
	for _, test := range refusals {
		_, err := NewCron(test.expr, zone, false)
		if err == nil {
			t.Errorf("%q is accepted", test.expr)
		} else if !strings.Contains(err.Error(), test.want) {
			t.Errorf("%q: got error %q, want one with %q", test.expr, err, test.want)
		}
	}
	if _, err := NewCron("0 0 31 2 1", zone, true); err == nil || !strings.Contains(err.Error(), "never fires") {
		t.Errorf("a date that does not exist, with a weekday: %v", err)
	}
}

// TestCronForms checks the canonical text of each notation, and that it is the canonical text of
// itself.
func TestCronForms(t *testing.T) {
	for _, test := range []struct{ expr, want string }{
		{" 0\t2  * * * ", "0 2 * * *"},
		{"00 02 * * *", "0 2 * * *"},
		{"? ? ? ? ?", "* * * * *"},
		{"*/1 * * * *", "* * * * *"},
		{"?/5 * * * *", "*/5 * * * *"},
		{"5/15 * * * *", "5-59/15 * * * *"},
		{"@Daily", "0 0 * * *"},
		{"@MIDNIGHT", "0 0 * * *"},
		{"@hourly", "0 * * * *"},
		{"@weekly", "0 0 * * 0"},
		{"@monthly", "0 0 1 * *"},
		{"@yearly", "0 0 1 1 *"},
		{"@annually", "0 0 1 1 *"},
		{"0 0 * JAN-Mar Mon", "0 0 * 1-3 1"},
		{"0 0 * * 7", "0 0 * * 0"},
		{"0 0 * * 0-7", "0 0 * * 0-6"},
		{"0 0 * * 7-2", "0 0 * * 0-2"},
		{"0 0 * * 5-7", "0 0 * * 5-0"},
		{"0 0 * * fri-mon", "0 0 * * 5-1"},
		{"0 0 * nov-feb *", "0 0 * 11-2 *"},
		{"0 22-2/2 * * *", "0 22-2/2 * * *"},
		{"0 0 l * *", "0 0 L * *"},
		{"0 0 15w,L,3 * *", "0 0 15W,L,3 * *"},
		{"0 0 lw,l-03,L-30 * *", "0 0 LW,L-3,L-30 * *"},
		{"0 0 * * L5", "0 0 * * 5L"},
		{"0 0 * * friL", "0 0 * * 5L"},
		{"0 0 * * 7#1,fri#2", "0 0 * * 0#1,5#2"},
		{"*,5 * * * *", "*,5 * * * *"},
		{"1-1 * * * *", "1 * * * *"},
	} {
		c := mustCron(t, test.expr, "UTC")
		if c.Expr() != test.want {
			t.Errorf("%q is %q, want %q", test.expr, c.Expr(), test.want)
		}
		if again := mustCron(t, c.Expr(), "UTC"); *again != *c {
			t.Errorf("%q reads as %+v, not as %+v", c.Expr(), again, c)
		}
	}
}

// TestCronEqualSets compares pairs of expressions that mean the same times.
func TestCronEqualSets(t *testing.T) {
	for _, pair := range [][2]string{
		{"0 22-2/2 * * *", "0 22,0,2 * * *"},
		{"0 23-4/2 * * *", "0 23,1,3 * * *"},
		{"50-10/5 3 * * *", "0,5,10,50,55 3 * * *"},
		{"0 0 * * fri-mon", "0 0 * * 5,6,0,1"},
		{"0 0 * * 5-7", "0 0 * * 5,6,0"},
		{"0 0 28-3 * *", "0 0 28,29,30,31,1,2,3 * *"},
		{"0 0 * nov-feb *", "0 0 * 1,2,11,12 *"},
		{"5/20 * * * *", "5,25,45 * * * *"},
		{"0 0 * * 1-7", "0 0 * * *"},
	} {
		a, b := mustCron(t, pair[0], "UTC"), mustCron(t, pair[1], "UTC")
		a.expr, b.expr = "", ""
		a.days.either, b.days.either = false, false // 1-7 does not begin with *
		if *a != *b {
			t.Errorf("%q is %+v, %q is %+v", pair[0], a, pair[1], b)
		}
	}
}
