package recur

import (
	"fmt"
	"testing"
)

func TestCronDescribe(t *testing.T) {
	for _, test := range []struct{ expr, want string }{
		{"* * * * *", "every minute"},
		{"*/15 * * * *", "every 15 minutes"},
		{"0,30 * * * *", "every 30 minutes"},
		{"@hourly", "every hour"},
		{"5 * * * *", "every hour at minute 5"},
		{"5,20 * * * *", "every hour at minutes 5 and 20"},
		{"*/25 * * * *", "every hour at minutes 0, 25 and 50"},
		{"0 */2 * * *", "every 2 hours"},
		{"15 */6 * * *", "every 6 hours at minute 15"},
		{"@daily", "every day at 00:00"},
		{"0 2 * * mon-fri", "every weekday at 02:00"},
		{"0 2,14 * * *", "every day at 02:00 and 14:00"},
		{"*/15 9-17 * * 1-5", "every 15 minutes from 09:00 to 17:45 on weekdays"},
		{"*/30 22-2 * * *", "every 30 minutes from 22:00 to 02:30"},
		{"* 2 * * *", "every minute from 02:00 to 02:59"},
		{"*/30 1,5 * * *", "every 30 minutes in hours 1 and 5"},
		{"0 9-17 * * *", "every hour from 09:00 to 17:00"},
		{"1,2,4 1,2,4 * * *", "every day at minutes 1, 2 and 4 of hours 1, 2 and 4"},
		{"@weekly", "every Sunday at 00:00"},
		{"0 8 * * 6,7", "every Saturday and Sunday at 08:00"},
		{"0 8 * * 1-6", "every weekday and Saturday at 08:00"},
		{"*/10 * * * 1,5", "every 10 minutes on Mondays and Fridays"},
		{"30 3 1 * *", "at 03:30 on the 1st of every month"},
		{"@yearly", "at 00:00 on the 1st of January"},
		{"0 0 1,15 1,7 *", "at 00:00 on the 1st and the 15th of January and July"},
		{"0 0 1-7 3-10 *", "at 00:00 on the 1st to the 7th of every month from March to October"},
		{"0 0 * nov-feb *", "every day from November to February at 00:00"},
		{"*/5 * * 12 *", "every 5 minutes in December"},
		{"0 0 * 6 1", "every Monday in June at 00:00"},
		{"0 0 L * *", "at 00:00 on the last day of every month"},
		{"0 0 15W * *", "at 00:00 on the weekday nearest to the 15th of every month"},
		{"0 0 1,L * *", "at 00:00 on the 1st and the last day of every month"},
		{"0 0 LW * *", "at 00:00 on the last weekday of every month"},
		{"0 0 L-3 * *", "at 00:00 on the 3rd day before the last day of every month"},
		{"0 0 L,L-1,LW,L-21 2 *", "at 00:00 on the 21st day before the last day, the day before the last day, the last day and the last weekday of February"},
		{"0 0 L-3 * 5", "at 00:00 on the 3rd day before the last day of every month and on every Friday"},
		{"0 0 * * 5L", "at 00:00 on the last Friday of every month"},
		{"0 0 * * 5#2", "at 00:00 on the second Friday of every month"},
		{"0 0 * 3 5#2,1L", "at 00:00 on the second Friday and the last Monday of March"},
		{"0 0 * * 1,5L", "at 00:00 on every Monday and the last Friday of every month"},
		{"0 0 13 * 5", "at 00:00 on the 13th of every month and on every Friday"},
		{"0 0 13 6 5", "at 00:00 on the 13th and every Friday of June"},
		{"0 0 1 * 0-6", "every day at 00:00"},
		{"0 0 */10 * 5", "at 00:00 on the 1st, the 11th, the 21st and the 31st of every month if it is a Friday"},
	} {
		c := mustCron(t, test.expr, "UTC")
		if got := c.Describe(); got != test.want {
			t.Errorf("%-20s %q, want %q", test.expr, got, test.want)
		}
	}
	c, err := NewCron("0 0 13 * 1,5", mustZone(t, "UTC"), true)
	if want := "at 00:00 on the 13th of every month if it is a Monday or a Friday"; err != nil || c.Describe() != want {
		t.Errorf("%q (%v), want %q", c.Describe(), err, want)
	}
}

func ExampleCron_Describe() {
	zone, _ := LoadZone("Europe/Berlin")
	c, _ := NewCron("30 2 * * mon-fri", zone, false)
	fmt.Println(c.Describe())
	// Output: every weekday at 02:30
}

func mustZone(t testing.TB, name string) *Zone {
	t.Helper()
	z, err := LoadZone(name)
	if err != nil {
		t.Fatal(err)
	}
	return z
}

func mustCron(t testing.TB, expr, zone string) *Cron {
	t.Helper()
	c, err := NewCron(expr, mustZone(t, zone), false)
	if err != nil {
		t.Fatal(err)
	}
	return c
}
