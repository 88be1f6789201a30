package recur

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"time"
)

// plainRules are rules in which a part, or the combination of two parts, is easy to get wrong. The
// comparison adds a DTSTART.
var plainRules = []string{
	// Without any other part, DTSTART decides what recurs.
	"FREQ=YEARLY", "FREQ=MONTHLY", "FREQ=WEEKLY", "FREQ=DAILY", "FREQ=HOURLY", "FREQ=MINUTELY", "FREQ=SECONDLY",
	"FREQ=YEARLY;INTERVAL=4", "FREQ=MONTHLY;INTERVAL=5", "FREQ=WEEKLY;INTERVAL=3", "FREQ=DAILY;INTERVAL=10",
	"FREQ=HOURLY;INTERVAL=5", "FREQ=HOURLY;INTERVAL=24", "FREQ=MINUTELY;INTERVAL=90", "FREQ=MINUTELY;INTERVAL=1440",
	"FREQ=SECONDLY;INTERVAL=7", "FREQ=SECONDLY;INTERVAL=86400",

	// Months and their days.
	"FREQ=YEARLY;BYMONTH=2;BYMONTHDAY=29", "FREQ=YEARLY;BYMONTHDAY=31", "FREQ=YEARLY;BYMONTH=3,10", "FREQ=YEARLY;BYMONTHDAY=-1",
	"FREQ=MONTHLY;BYMONTHDAY=31", "FREQ=MONTHLY;BYMONTHDAY=29,30,31,-31", "FREQ=MONTHLY;BYMONTHDAY=-1,-29", "FREQ=MONTHLY;BYMONTH=2,4",
	"FREQ=DAILY;BYMONTHDAY=1,-1", "FREQ=DAILY;INTERVAL=2;BYMONTHDAY=15;BYMONTH=1,3", "FREQ=DAILY;INTERVAL=3;BYMONTH=2",
	"FREQ=YEARLY;INTERVAL=2;BYMONTH=2;BYMONTHDAY=29", "FREQ=MONTHLY;INTERVAL=12;BYMONTHDAY=-3", "FREQ=YEARLY;BYMONTHDAY=13;BYDAY=FR",

	// Days of the year.
	"FREQ=YEARLY;BYYEARDAY=366", "FREQ=YEARLY;BYYEARDAY=-366", "FREQ=YEARLY;BYYEARDAY=1,60,100,-1", "FREQ=YEARLY;BYYEARDAY=60;BYMONTH=3",
	"FREQ=YEARLY;BYYEARDAY=1,2,3,4,5,6,7;BYDAY=MO", "FREQ=YEARLY;BYYEARDAY=-1;BYMONTHDAY=31", "FREQ=HOURLY;BYYEARDAY=1,365,366;BYHOUR=0,23",

	// Weekdays, with and without a number.
	"FREQ=YEARLY;BYDAY=MO", "FREQ=YEARLY;BYDAY=53MO,53TU,53WE", "FREQ=YEARLY;BYDAY=-53SU,1SU", "FREQ=YEARLY;BYDAY=20MO,-20MO",
	"FREQ=YEARLY;BYDAY=1MO,-1MO;BYMONTH=1,2", "FREQ=YEARLY;BYDAY=5TH;BYMONTH=2,3", "FREQ=MONTHLY;BYDAY=5FR", "FREQ=MONTHLY;BYDAY=-5FR",
	"FREQ=MONTHLY;BYDAY=1SU,WE,-1SA", "FREQ=MONTHLY;BYDAY=2TU;BYMONTHDAY=8,9,10", "FREQ=MONTHLY;BYDAY=1FR;BYMONTH=6", "FREQ=WEEKLY;BYDAY=SU,MO,SA",
	"FREQ=WEEKLY;INTERVAL=2;BYDAY=SU,MO;WKST=SU", "FREQ=WEEKLY;INTERVAL=2;BYDAY=SU,MO;WKST=MO", "FREQ=WEEKLY;INTERVAL=2;WKST=WE;BYDAY=TU,WE",
	"FREQ=WEEKLY;BYMONTH=1,12;BYDAY=TH", "FREQ=WEEKLY;INTERVAL=5;BYMONTH=3", "FREQ=DAILY;BYDAY=MO,TU,WE,TH,FR", "FREQ=DAILY;INTERVAL=5;BYDAY=SA",

	// Weeks of the year.
	"FREQ=YEARLY;BYWEEKNO=1", "FREQ=YEARLY;BYWEEKNO=53", "FREQ=YEARLY;BYWEEKNO=-53", "FREQ=YEARLY;BYWEEKNO=-1", "FREQ=YEARLY;BYWEEKNO=52,53,1;BYDAY=MO,SU",
	"FREQ=YEARLY;BYWEEKNO=1,-1;BYDAY=TH;WKST=SU", "FREQ=YEARLY;BYWEEKNO=20;WKST=TH", "FREQ=YEARLY;BYWEEKNO=1;BYMONTH=12", "FREQ=YEARLY;BYWEEKNO=53;BYMONTH=1",
	"FREQ=YEARLY;BYWEEKNO=1;BYMONTHDAY=31,1", "FREQ=YEARLY;BYWEEKNO=1,2;BYYEARDAY=1,-1", "FREQ=YEARLY;INTERVAL=2;BYWEEKNO=1;BYDAY=MO,TU,WE,TH,FR,SA,SU",
	"FREQ=YEARLY;INTERVAL=3;BYWEEKNO=52,53;BYDAY=FR,SA,SU;WKST=SA", "FREQ=YEARLY;BYWEEKNO=1;BYDAY=MO,SU;BYSETPOS=1", "FREQ=YEARLY;BYWEEKNO=-10,10",

	// Times of the day.
	"FREQ=DAILY;BYHOUR=0,1,2,3,23", "FREQ=DAILY;BYHOUR=2;BYMINUTE=0,15,30,45", "FREQ=DAILY;BYMINUTE=0,1,59", "FREQ=DAILY;BYHOUR=0;BYMINUTE=0;BYSECOND=0,59,60",
	"FREQ=DAILY;BYHOUR=1,2;BYMINUTE=30", "FREQ=WEEKLY;BYDAY=SU;BYHOUR=0,1,2,3;BYMINUTE=0,30", "FREQ=MONTHLY;BYDAY=-1SU;BYHOUR=1,2,3;BYMINUTE=15",
	"FREQ=YEARLY;BYMONTH=3,10,11;BYDAY=SU;BYHOUR=2", "FREQ=YEARLY;BYHOUR=2;BYMINUTE=30", "FREQ=DAILY;INTERVAL=7;BYHOUR=2",

	// Positions.
	"FREQ=MONTHLY;BYDAY=MO,TU,WE,TH,FR;BYSETPOS=-1", "FREQ=MONTHLY;BYDAY=MO,TU,WE,TH,FR;BYSETPOS=1,-1,3", "FREQ=MONTHLY;BYMONTHDAY=1,2,3;BYSETPOS=4",
	"FREQ=YEARLY;BYDAY=SU;BYSETPOS=13,-13", "FREQ=YEARLY;BYMONTH=1,12;BYMONTHDAY=1,31;BYSETPOS=2,-2", "FREQ=YEARLY;BYHOUR=1,2,3;BYSETPOS=2",
	"FREQ=WEEKLY;BYDAY=MO,WE,FR;BYSETPOS=2", "FREQ=WEEKLY;BYDAY=SU,MO;WKST=SU;BYSETPOS=1", "FREQ=WEEKLY;INTERVAL=2;BYDAY=TU,SA;BYHOUR=1,2;BYSETPOS=-1,1",
	"FREQ=DAILY;BYHOUR=1,2,3;BYMINUTE=0,30;BYSETPOS=1,-1,3", "FREQ=DAILY;BYHOUR=2,3;BYMINUTE=30;BYSETPOS=1", "FREQ=YEARLY;BYDAY=1MO,-1MO;BYSETPOS=366,-1",
	"FREQ=YEARLY;BYWEEKNO=1,53;BYDAY=MO,SU;BYSETPOS=1,-1", "FREQ=HOURLY;BYMINUTE=0,15,30,45;BYSETPOS=1,-1", "FREQ=HOURLY;BYMINUTE=10,50;BYSECOND=5,10;BYSETPOS=2,3",
	"FREQ=MINUTELY;BYSECOND=0,20,40;BYSETPOS=-1", "FREQ=SECONDLY;BYSECOND=0,20,40;BYSETPOS=1", "FREQ=HOURLY;INTERVAL=2;BYHOUR=0,1,2,3;BYSETPOS=1",

	// Elapsed time.
	"FREQ=HOURLY;BYHOUR=1,2,3", "FREQ=HOURLY;INTERVAL=2;BYHOUR=1,2,3", "FREQ=HOURLY;BYMINUTE=0,30", "FREQ=HOURLY;INTERVAL=3;BYMINUTE=0,30", "FREQ=HOURLY;BYSECOND=0,30",
	"FREQ=HOURLY;INTERVAL=6;BYDAY=SU", "FREQ=HOURLY;BYMONTH=3,4,10,11;BYDAY=SU", "FREQ=HOURLY;INTERVAL=48;BYMONTHDAY=1,15,-1", "FREQ=HOURLY;INTERVAL=25",
	"FREQ=MINUTELY;INTERVAL=15", "FREQ=MINUTELY;INTERVAL=7;BYHOUR=0,1,2,3", "FREQ=MINUTELY;BYMINUTE=0,1,58,59", "FREQ=MINUTELY;INTERVAL=20;BYHOUR=9,10,16;BYDAY=MO,TU,WE,TH,FR",
	"FREQ=MINUTELY;INTERVAL=45;BYMINUTE=0,15", "FREQ=MINUTELY;BYSECOND=0,30", "FREQ=MINUTELY;INTERVAL=61;BYMONTH=12", "FREQ=SECONDLY;INTERVAL=1801",
	"FREQ=SECONDLY;INTERVAL=90;BYMINUTE=0,1,2", "FREQ=SECONDLY;BYSECOND=0;BYMINUTE=0,30", "FREQ=SECONDLY;INTERVAL=11;BYHOUR=1,2;BYSECOND=0,30",

	// Ends.
	"FREQ=YEARLY;COUNT=3", "FREQ=MONTHLY;BYMONTHDAY=31;COUNT=5", "FREQ=WEEKLY;BYDAY=MO,FR;COUNT=11", "FREQ=DAILY;BYHOUR=1,2,3;COUNT=50", "FREQ=DAILY;COUNT=1",
	"FREQ=MONTHLY;BYDAY=MO,TU,WE,TH,FR;BYSETPOS=-1;COUNT=20", "FREQ=HOURLY;COUNT=40", "FREQ=HOURLY;BYMINUTE=0,30;COUNT=61", "FREQ=MINUTELY;INTERVAL=30;COUNT=99",
	"FREQ=SECONDLY;INTERVAL=1000;COUNT=100", "FREQ=HOURLY;INTERVAL=2;BYMINUTE=10,50;BYSETPOS=-1;COUNT=30", "FREQ=YEARLY;BYWEEKNO=53;COUNT=2",
}

// randomText returns a random rule, or a few rules with dates, that RFC 5545 allows.
func randomText(random *rand.Rand, zone *Zone) string {
	start := randomStart(random, zone)
	lines := []string{"DTSTART:" + start.Format(plainLayout)}
	one := func(n int) bool { return random.IntN(n) == 0 }
	lines = append(lines, "RRULE:"+randomParts(random, start))
	if one(12) {
		lines = append(lines, "RRULE:"+randomParts(random, start))
	}
	if one(10) {
		lines = append(lines, "EXRULE:"+randomParts(random, start))
	}
	for _, name := range []string{"RDATE", "EXDATE"} {
		if one(8) {
			lines = append(lines, name+":"+randomDates(random, start))
		}
	}
	return strings.Join(lines, "\n")
}

const plainLayout = "20060102T150405"

// randomStart returns a local time, often near an offset change.
func randomStart(random *rand.Rand, zone *Zone) time.Time {
	wall := random.Int64N(2_100_000_000)
	if changes := zone.changes; len(changes) > 0 && random.IntN(2) == 0 {
		change := changes[random.IntN(min(len(changes), 300))]
		wall = change.at + int64(change.offset) - 1800*random.Int64N(8)
		if random.IntN(2) == 0 {
			wall -= random.Int64N(30) * secondsPerDay
		}
	}
	switch random.IntN(4) {
	case 0:
		wall -= wall % secondsPerDay
	case 1, 2:
		wall -= wall % 1800
	}
	return time.Unix(wall, 0).UTC()
}

func randomDates(random *rand.Rand, start time.Time) string {
	var dates []string
	for range 1 + random.IntN(20) {
		date := start.AddDate(0, 0, random.IntN(60)).Format(plainLayout)
		if random.IntN(4) == 0 {
			date += "Z"
		}
		dates = append(dates, date)
	}
	return strings.Join(dates, ",")
}

func randomParts(random *rand.Rand, start time.Time) string {
	freq := []string{
		"YEARLY", "YEARLY", "MONTHLY", "MONTHLY", "WEEKLY", "WEEKLY", "DAILY", "DAILY", "HOURLY", "MINUTELY", "SECONDLY",
	}[random.IntN(11)]
	parts := []string{"FREQ=" + freq}
	add := func(name string, likely, low, high, most int) bool {
		if random.IntN(likely) > 0 {
			return false
		}
		var items []int
		for range 1 + random.IntN(most) {
			n := low + random.IntN(high-low+1)
			if n != 0 && !slices.Contains(items, n) {
				items = append(items, n)
			}
		}
		if low == 0 && (len(items) == 0 || random.IntN(2) == 0) {
			items = append(items, 0)
		}
		if len(items) == 0 {
			return false
		}
		parts = append(parts, name+"="+strings.Trim(strings.ReplaceAll(fmt.Sprint(items), " ", ","), "[]"))
		return true
	}
	if random.IntN(2) == 0 {
		most := map[string]int{"YEARLY": 5, "MONTHLY": 14, "WEEKLY": 6, "DAILY": 40, "HOURLY": 50, "MINUTELY": 3000, "SECONDLY": 100_000}[freq]
		parts = append(parts, "INTERVAL="+strconv.Itoa(1+random.IntN(most)))
	}
	if random.IntN(3) == 0 {
		parts = append(parts, "WKST="+[]string{"SU", "MO", "TU", "WE", "TH", "FR", "SA"}[random.IntN(7)])
	}
	weeks := freq == "YEARLY" && add("BYWEEKNO", 4, -53, 53, 4)
	by := weeks
	by = add("BYMONTH", 4, 1, 12, 4) || by
	if freq != "WEEKLY" {
		by = add("BYMONTHDAY", 4, -31, 31, 8) || by
	}
	if freq == "YEARLY" || freq == "HOURLY" || freq == "MINUTELY" || freq == "SECONDLY" {
		by = add("BYYEARDAY", 6, -366, 366, 40) || by
	}
	if random.IntN(3) == 0 {
		nth := 0
		if freq == "MONTHLY" || freq == "YEARLY" && !weeks {
			nth = []int{0, 1, 5, 53}[random.IntN(4)]
		}
		parts = append(parts, "BYDAY="+randomDays(random, nth))
		by = true
	}
	by = add("BYHOUR", 3, 0, 23, 6) || by
	by = add("BYMINUTE", 4, 0, 59, 5) || by
	by = add("BYSECOND", 8, 0, 60, 3) || by
	if by {
		add("BYSETPOS", 4, -6, 6, 3)
	}
	switch random.IntN(6) {
	case 0:
		parts = append(parts, "COUNT="+strconv.Itoa(1+random.IntN(80)))
	case 1:
		parts = append(parts, "UNTIL="+start.AddDate(random.IntN(6), 0, random.IntN(90)).Format(plainLayout))
	case 2:
		parts = append(parts, "UNTIL="+start.AddDate(random.IntN(6), 0, random.IntN(90)).Format(plainLayout)+"Z")
	}
	random.Shuffle(len(parts), func(i, j int) { parts[i], parts[j] = parts[j], parts[i] })
	return strings.Join(parts, ";")
}

// randomDays returns a value of BYDAY with numbers up to nth.
func randomDays(random *rand.Rand, nth int) string {
	var days []string
	for range 1 + random.IntN(5) {
		day := []string{"SU", "MO", "TU", "WE", "TH", "FR", "SA"}[random.IntN(7)]
		if nth > 0 && random.IntN(4) > 0 {
			if n := random.IntN(2*nth+1) - nth; n != 0 {
				day = strconv.Itoa(n) + day
			}
		}
		if !slices.Contains(days, day) {
			days = append(days, day)
		}
	}
	return strings.Join(days, ",")
}
