package recur

import (
	"strings"
	"testing"
)

// refusals are expressions with a part of what their error says.
var refusals = []struct{ expr, want string }{
	{"", "is empty"},
	{"   ", "is empty"},
	{"* * * *", "has 4 fields: write five"},
	{"0 * * * * *", "has 6 fields: write five (minute, hour, day of month, month, day of week); there are no seconds"},
	{"* * * * * * *", "has 7 fields"},
	{"0 24 * * *", `field 2 (hour) is "24": hours go from 0 to 23`},
	{"60 * * * *", `field 1 (minute) is "60": minutes go from 0 to 59`},
	{"99999999999999999999 * * * *", "minutes go from 0 to 59"},
	{"0 0 0 * *", `field 3 (day of month) is "0": days of the month go from 1 to 31`},
	{"0 0 32 * *", "days of the month go from 1 to 31"},
	{"0 0 * 13 *", "months go from 1 to 12, or jan to dec"},
	{"0 0 * foo *", `"foo" is not a number: months go from 1 to 12`},
	{"0 0 * * 8", "days of the week go from 0 (Sunday) to 7 (Sunday again), or sun to sat"},
	{"0 0 * * friday", `"friday" is not a number`},
	{", * * * *", "a list has an empty item"},
	{"1,,2 * * * *", "a list has an empty item"},
	{"1, * * * *", "a list has an empty item"},
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
	{"*/60 * * * *", "the step 60 is beyond the range"},
	{"0 */24 * * *", "the step 24 is beyond the range"},
	{"0-10/20 * * * *", "the step 20 is beyond the range"},
	{"*/2/3 * * * *", "is not a positive number"},
	{"TZ=UTC", "remove it here and set the schedule's time zone"},
	{"TZ= * * * * *", "begins with the time zone"},
	{"cron_tz=Europe/Berlin 0 0 * * *", `begins with the time zone "cron_tz=Europe/Berlin"`},
	{"@every 5m", "use an interval schedule"},
	{"@Every", "use an interval schedule"},
	{"@reboot", "names no time"},
	{"@dayly", "is not a known name: use @hourly"},
	{"@daily 5", "is not a known name"},
	{"@", "is not a known name"},
	{"0 0 31 2 *", "never fires: no date has that day"},
	{"0 0 30 feb *", "never fires"},
	{"0 0 31 4,6,9,11 *", "never fires"},
	{"0 0 31W feb *", "never fires"},
	{"L * * * *", `"l" is not a number`},
	{"0 0 * * L", "a bare L is for field 3"},
	{"0 0 * * 8L", "days of the week go from 0"},
	{"0 0 * * 5#6", `the number "6" after # is not 1 to 5`},
	{"0 0 * * 5#", "after # is not 1 to 5"},
	{"0 0 * * #2", "a number is missing"},
	{"0 0 W * *", "W follows one day"},
	{"0 0 LW * *", "W follows one day"},
	{"0 0 1-5W * *", "W follows one day"},
	{"0 0 L-3 * *", `"l" is not a number`},
	{strings.Repeat("*", 600), "at most 512"},
}

func TestCronRefusals(t *testing.T) {
	zone := mustZone(t, "UTC")
	for _, test := range refusals {
		_, err := NewCron(test.expr, zone, false)
		if err == nil {
			t.Errorf("%q is accepted", test.expr)
		} else if !strings.Contains(err.Error(), test.want) {
			t.Errorf("%q: %q does not say %q", test.expr, err, test.want)
		}
	}
	if _, err := NewCron("0 0 31 2 1", zone, true); err == nil || !strings.Contains(err.Error(), "never fires") {
		t.Errorf("a date that does not exist, with a weekday: %v", err)
	}
}

// TestCronForms holds each way of writing to its canonical text, and the text to itself.
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

// TestCronEqualSets pairs expressions that name the same times in two ways.
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
