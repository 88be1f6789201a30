package recur

import (
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

// rfcExamples are the examples of RFC 5545, section 3.8.5.3, in its order and with the dates that
// it lists: all of them if the rule ends, otherwise the first ones. "Sep 2-11" means ten days at
// the time of DTSTART, unless times follow.
var rfcExamples = []struct{ name, start, text, want string }{
	{"daily for 10 occurrences", "19970902T090000", "RRULE:FREQ=DAILY;COUNT=10", "1997 Sep 2-11 end"},
	{
		"daily until December 24, 1997", "19970902T090000", "RRULE:FREQ=DAILY;UNTIL=19971224T000000Z",
		"1997 Sep 2-30 Oct 1-31 Nov 1-30 Dec 1-23 end",
	},
	{
		"every other day", "19970902T090000", "RRULE:FREQ=DAILY;INTERVAL=2",
		"1997 Sep 2 4 6 8 10 12 14 16 18 20 22 24 26 28 30 Oct 2 4 6 8 10 12 14 16 18 20 22 24 26 28 30 " +
			"Nov 1 3 5 7 9 11 13 15 17 19 21 23 25 27 29 Dec 1 3",
	},
	{"every 10 days, 5 occurrences", "19970902T090000", "RRULE:FREQ=DAILY;INTERVAL=10;COUNT=5", "1997 Sep 2 12 22 Oct 2 12 end"},
	{
		"every day in January, for 3 years", "19980101T090000",
		"RRULE:FREQ=YEARLY;UNTIL=20000131T140000Z;BYMONTH=1;BYDAY=SU,MO,TU,WE,TH,FR,SA",
		"1998 Jan 1-31 1999 Jan 1-31 2000 Jan 1-31 end",
	},
	{
		"every day in January, for 3 years, daily", "19980101T090000", "RRULE:FREQ=DAILY;UNTIL=20000131T140000Z;BYMONTH=1",
		"1998 Jan 1-31 1999 Jan 1-31 2000 Jan 1-31 end",
	},
	{
		"weekly for 10 occurrences", "19970902T090000", "RRULE:FREQ=WEEKLY;COUNT=10",
		"1997 Sep 2 9 16 23 30 Oct 7 14 21 28 Nov 4 end",
	},
	{
		"weekly until December 24, 1997", "19970902T090000", "RRULE:FREQ=WEEKLY;UNTIL=19971224T000000Z",
		"1997 Sep 2 9 16 23 30 Oct 7 14 21 28 Nov 4 11 18 25 Dec 2 9 16 23 end",
	},
	{
		"every other week", "19970902T090000", "RRULE:FREQ=WEEKLY;INTERVAL=2;WKST=SU",
		"1997 Sep 2 16 30 Oct 14 28 Nov 11 25 Dec 9 23 1998 Jan 6 20 Feb 3 17",
	},
	{
		"weekly on Tuesday and Thursday for five weeks", "19970902T090000",
		"RRULE:FREQ=WEEKLY;UNTIL=19971007T000000Z;WKST=SU;BYDAY=TU,TH", "1997 Sep 2 4 9 11 16 18 23 25 30 Oct 2 end",
	},
	{
		"weekly on Tuesday and Thursday for five weeks, by count", "19970902T090000",
		"RRULE:FREQ=WEEKLY;COUNT=10;WKST=SU;BYDAY=TU,TH", "1997 Sep 2 4 9 11 16 18 23 25 30 Oct 2 end",
	},
	{
		"every other week on Monday, Wednesday and Friday", "19970901T090000",
		"RRULE:FREQ=WEEKLY;INTERVAL=2;UNTIL=19971224T000000Z;WKST=SU;BYDAY=MO,WE,FR",
		"1997 Sep 1 3 5 15 17 19 29 Oct 1 3 13 15 17 27 29 31 Nov 10 12 14 24 26 28 Dec 8 10 12 22 end",
	},
	{
		"every other week on Tuesday and Thursday", "19970902T090000", "RRULE:FREQ=WEEKLY;INTERVAL=2;COUNT=8;WKST=SU;BYDAY=TU,TH",
		"1997 Sep 2 4 16 18 30 Oct 2 14 16 end",
	},
	{
		"monthly on the first Friday", "19970905T090000", "RRULE:FREQ=MONTHLY;COUNT=10;BYDAY=1FR",
		"1997 Sep 5 Oct 3 Nov 7 Dec 5 1998 Jan 2 Feb 6 Mar 6 Apr 3 May 1 Jun 5 end",
	},
	{
		"monthly on the first Friday until December 24, 1997", "19970905T090000",
		"RRULE:FREQ=MONTHLY;UNTIL=19971224T000000Z;BYDAY=1FR", "1997 Sep 5 Oct 3 Nov 7 Dec 5 end",
	},
	{
		"every other month on the first and last Sunday", "19970907T090000", "RRULE:FREQ=MONTHLY;INTERVAL=2;COUNT=10;BYDAY=1SU,-1SU",
		"1997 Sep 7 28 Nov 2 30 1998 Jan 4 25 Mar 1 29 May 3 31 end",
	},
	{
		"monthly on the second-to-last Monday", "19970922T090000", "RRULE:FREQ=MONTHLY;COUNT=6;BYDAY=-2MO",
		"1997 Sep 22 Oct 20 Nov 17 Dec 22 1998 Jan 19 Feb 16 end",
	},
	{
		"monthly on the third-to-the-last day", "19970928T090000", "RRULE:FREQ=MONTHLY;BYMONTHDAY=-3",
		"1997 Sep 28 Oct 29 Nov 28 Dec 29 1998 Jan 29 Feb 26",
	},
	{
		"monthly on the 2nd and 15th", "19970902T090000", "RRULE:FREQ=MONTHLY;COUNT=10;BYMONTHDAY=2,15",
		"1997 Sep 2 15 Oct 2 15 Nov 2 15 Dec 2 15 1998 Jan 2 15 end",
	},
	{
		"monthly on the first and last day", "19970930T090000", "RRULE:FREQ=MONTHLY;COUNT=10;BYMONTHDAY=1,-1",
		"1997 Sep 30 Oct 1 31 Nov 1 30 Dec 1 31 1998 Jan 1 31 Feb 1 end",
	},
	{
		"every 18 months on the 10th to 15th", "19970910T090000",
		"RRULE:FREQ=MONTHLY;INTERVAL=18;COUNT=10;BYMONTHDAY=10,11,12,13,14,15", "1997 Sep 10-15 1999 Mar 10-13 end",
	},
	{
		"every Tuesday, every other month", "19970902T090000", "RRULE:FREQ=MONTHLY;INTERVAL=2;BYDAY=TU",
		"1997 Sep 2 9 16 23 30 Nov 4 11 18 25 1998 Jan 6 13 20 27 Mar 3 10 17 24 31",
	},
	{
		"yearly in June and July", "19970610T090000", "RRULE:FREQ=YEARLY;COUNT=10;BYMONTH=6,7",
		"1997 Jun 10 Jul 10 1998 Jun 10 Jul 10 1999 Jun 10 Jul 10 2000 Jun 10 Jul 10 2001 Jun 10 Jul 10 end",
	},
	{
		"every other year in January, February and March", "19970310T090000", "RRULE:FREQ=YEARLY;INTERVAL=2;COUNT=10;BYMONTH=1,2,3",
		"1997 Mar 10 1999 Jan 10 Feb 10 Mar 10 2001 Jan 10 Feb 10 Mar 10 2003 Jan 10 Feb 10 Mar 10 end",
	},
	{
		"every third year on the 1st, 100th and 200th day", "19970101T090000",
		"RRULE:FREQ=YEARLY;INTERVAL=3;COUNT=10;BYYEARDAY=1,100,200",
		"1997 Jan 1 Apr 10 Jul 19 2000 Jan 1 Apr 9 Jul 18 2003 Jan 1 Apr 10 Jul 19 2006 Jan 1 end",
	},
	{"every 20th Monday of the year", "19970519T090000", "RRULE:FREQ=YEARLY;BYDAY=20MO", "1997 May 19 1998 May 18 1999 May 17"},
	{"Monday of week 20", "19970512T090000", "RRULE:FREQ=YEARLY;BYWEEKNO=20;BYDAY=MO", "1997 May 12 1998 May 11 1999 May 17"},
	{
		"every Thursday in March", "19970313T090000", "RRULE:FREQ=YEARLY;BYMONTH=3;BYDAY=TH",
		"1997 Mar 13 20 27 1998 Mar 5 12 19 26 1999 Mar 4 11 18 25",
	},
	{
		"every Thursday in June, July and August", "19970605T090000", "RRULE:FREQ=YEARLY;BYDAY=TH;BYMONTH=6,7,8",
		"1997 Jun 5 12 19 26 Jul 3 10 17 24 31 Aug 7 14 21 28 1998 Jun 4 11 18 25 Jul 2 9 16 23 30 Aug 6 13 20 27 " +
			"1999 Jun 3 10 17 24 Jul 1 8 15 22 29 Aug 5 12 19 26",
	},
	{
		"every Friday the 13th", "19970902T090000", "EXDATE;TZID=America/New_York:19970902T090000\nRRULE:FREQ=MONTHLY;BYDAY=FR;BYMONTHDAY=13",
		"1998 Feb 13 Mar 13 Nov 13 1999 Aug 13 2000 Oct 13",
	},
	{
		"the first Saturday that follows the first Sunday", "19970913T090000", "RRULE:FREQ=MONTHLY;BYDAY=SA;BYMONTHDAY=7,8,9,10,11,12,13",
		"1997 Sep 13 Oct 11 Nov 8 Dec 13 1998 Jan 10 Feb 7 Mar 7 Apr 11 May 9 Jun 13",
	},
	{
		"U.S. Presidential Election Day", "19961105T090000", "RRULE:FREQ=YEARLY;INTERVAL=4;BYMONTH=11;BYDAY=TU;BYMONTHDAY=2,3,4,5,6,7,8",
		"1996 Nov 5 2000 Nov 7 2004 Nov 2",
	},
	{
		"the third of Tuesday, Wednesday and Thursday", "19970904T090000", "RRULE:FREQ=MONTHLY;COUNT=3;BYDAY=TU,WE,TH;BYSETPOS=3",
		"1997 Sep 4 Oct 7 Nov 6 end",
	},
	{
		"the second-to-last weekday", "19970929T090000", "RRULE:FREQ=MONTHLY;BYDAY=MO,TU,WE,TH,FR;BYSETPOS=-2",
		"1997 Sep 29 Oct 30 Nov 27 Dec 30 1998 Jan 29 Feb 26 Mar 30",
	},
	// The RFC writes 17:00 UTC for 17:00 in New York but lists 15:00 (erratum 3883).
	{"every 3 hours to 13:00", "19970902T090000", "RRULE:FREQ=HOURLY;INTERVAL=3;UNTIL=19970902T170000Z", "1997 Sep 2 9:00 12:00 end"},
	{"every 3 hours to 17:00", "19970902T090000", "RRULE:FREQ=HOURLY;INTERVAL=3;UNTIL=19970902T210000Z", "1997 Sep 2 9:00 12:00 15:00 end"},
	{
		"every 15 minutes", "19970902T090000", "RRULE:FREQ=MINUTELY;INTERVAL=15;COUNT=6",
		"1997 Sep 2 9:00 9:15 9:30 9:45 10:00 10:15 end",
	},
	{"every hour and a half", "19970902T090000", "RRULE:FREQ=MINUTELY;INTERVAL=90;COUNT=4", "1997 Sep 2 9:00 10:30 12:00 13:30 end"},
	{
		"every 20 minutes from 9:00 to 16:40", "19970902T090000", "RRULE:FREQ=DAILY;BYHOUR=9,10,11,12,13,14,15,16;BYMINUTE=0,20,40",
		everyTwentyMinutes,
	},
	{
		"every 20 minutes from 9:00 to 16:40, minutely", "19970902T090000", "RRULE:FREQ=MINUTELY;INTERVAL=20;BYHOUR=9,10,11,12,13,14,15,16",
		everyTwentyMinutes,
	},
	{
		"weeks from Monday", "19970805T090000", "RRULE:FREQ=WEEKLY;INTERVAL=2;COUNT=4;BYDAY=TU,SU;WKST=MO", "1997 Aug 5 10 19 24 end",
	},
	{
		"weeks from Sunday", "19970805T090000", "RRULE:FREQ=WEEKLY;INTERVAL=2;COUNT=4;BYDAY=TU,SU;WKST=SU", "1997 Aug 5 17 19 31 end",
	},
	{
		"a date that does not exist is ignored", "20070115T090000", "RRULE:FREQ=MONTHLY;BYMONTHDAY=15,30;COUNT=5",
		"2007 Jan 15 30 Feb 15 Mar 15 30 end",
	},

	// Section 3.3.10.
	{
		"the last work day of the month", "19970902T090000", "RRULE:FREQ=MONTHLY;BYDAY=MO,TU,WE,TH,FR;BYSETPOS=-1",
		"1997 Sep 30 Oct 31 Nov 28 Dec 31 1998 Jan 30 Feb 27",
	},
	{
		"Sundays in January of every other year", "19970105T083000", "RRULE:FREQ=YEARLY;INTERVAL=2;BYMONTH=1;BYDAY=SU;BYHOUR=8,9;BYMINUTE=30",
		"1997 Jan 5 8:30 9:30 12 8:30 9:30 19 8:30 9:30 26 8:30 9:30 1999 Jan 3 8:30 9:30 10 8:30 9:30",
	},
	{"ten of every other day", "19970902T090000", "RRULE:FREQ=DAILY;COUNT=10;INTERVAL=2", "1997 Sep 2 4 6 8 10 12 14 16 18 20 end"},

	// Sections 3.8.5.1 and 3.8.5.2: the notations of a list of dates.
	{
		"dates in UTC and in zones", "19970714T083000",
		"RDATE:19970715T123000Z\nRDATE;TZID=Europe/Berlin:19970716T143000,19970717T143000\nRDATE:19970718T083000\nEXDATE:19970717T123000Z",
		"1997 Jul 14 15 16 18 end",
	},
	{
		"periods", "19960401T090000",
		"RDATE;VALUE=PERIOD:19960403T140000Z/19960403T160000Z,19960404T140000Z/PT3H", "1996 Apr 1 3 4 end",
	},
	{
		"days", "19970101", "RDATE;VALUE=DATE:19970120,19970217,19970421,19970526,19970704,19970901,19971014,19971128,19971129,19971225",
		"1997 Jan 1 20 Feb 17 Apr 21 May 26 Jul 4 Sep 1 Oct 14 Nov 28 29 Dec 25 end",
	},
	{
		"a long line is folded", "19970902T090000", "RRULE:FREQ=DAI\r\n LY;CO\r\n\tUNT=2\r\nRDA\r\n TE:19970910T090000",
		"1997 Sep 2 3 10 end",
	},
	{
		"a rule that excludes", "19970902T090000", "RRULE:FREQ=DAILY;COUNT=14\nEXRULE:FREQ=WEEKLY;BYDAY=SA,SU",
		"1997 Sep 2-5 8-12 15 end",
	},
	{"two rules", "19970902T090000", "RRULE:FREQ=MONTHLY;COUNT=3\nrrule:freq=monthly;bymonthday=-1;count=2", "1997 Sep 2 30 Oct 2 31 Nov 2 end"},

	// Typical rules for a scheduler.
	{
		"office hours", "20220910T110000", "RRULE:FREQ=HOURLY;BYDAY=MO,TU,WE,TH,FR,SA;BYHOUR=9,10,11,12,13,14,15,16,17",
		"2022 Sep 10 11:00 12:00 13:00 14:00 15:00 16:00 17:00 12 9:00 10:00",
	},
	{"last Friday", "20220901T000000", "FREQ=MONTHLY;BYDAY=-1FR", "2022 Sep 30 Oct 28 Nov 25 Dec 30 2023 Jan 27"},
	{
		"four times a work day", "20220902T000000", "FREQ=DAILY;BYDAY=MO,TU,WE,TH,FR;BYHOUR=9,11,13,17;BYMINUTE=45;BYSECOND=0",
		"2022 Sep 2 9:45 11:45 13:45 17:45 5 9:45 11:45",
	},
	{"business quarter", "20220101T060000", "FREQ=MONTHLY;INTERVAL=3;BYDAY=MO,TU,WE,TH,FR;BYSETPOS=1", "2022 Jan 3 Apr 1 Jul 1 Oct 3 2023 Jan 2"},
	{"twice a week until a local date", "20220101T060000", "RRULE:FREQ=WEEKLY;BYDAY=MO,FR;UNTIL=20220115T000000", "2022 Jan 3 7 10 14 end"},
}

const everyTwentyMinutes = "1997 Sep" +
	" 2 9:00 9:20 9:40 10:00 10:20 10:40 11:00 11:20 11:40 12:00 12:20 12:40 13:00 13:20 13:40 14:00 14:20 14:40 15:00 15:20 15:40 16:00 16:20 16:40" +
	" 3 9:00 9:20 9:40 10:00 10:20 10:40 11:00 11:20 11:40 12:00 12:20 12:40 13:00 13:20 13:40 14:00 14:20 14:40 15:00 15:20 15:40 16:00 16:20 16:40"

func TestRRuleRFC(t *testing.T) {
	for _, test := range rfcExamples {
		t.Run(test.name, func(t *testing.T) {
			text := "DTSTART;TZID=America/New_York:" + test.start + "\n" + test.text
			zone := (*Zone)(nil)
			if !strings.Contains(test.start, "T") { // a date has no zone
				text = "DTSTART;VALUE=DATE:" + test.start + "\n" + test.text
				zone = mustZone(t, "America/New_York")
			}
			r, err := NewRRule(text, zone)
			if err != nil {
				t.Fatal(err)
			}
			want, ends := rfcDates(t, test.start, test.want)
			var got []string
			last := time.Time{}
			for range len(want) + 1 {
				next, ok := r.Next(last)
				if !ok || !ends && len(got) == len(want) {
					break
				}
				got = append(got, next.In(r.Zone().Location()).Format(rfcLayout))
				last = next
			}
			if !slices.Equal(got, want) {
				t.Errorf("%s\n got %v\nwant %v", text, got, want)
			}
			for i := len(want) - 2; i >= 0; i-- {
				if last, _ = r.Prev(last); last.In(r.Zone().Location()).Format(rfcLayout) != want[i] {
					t.Fatalf("Prev returns %v, want %s", last, want[i])
				}
			}
			if first, ok := r.Prev(last); ok {
				t.Errorf("%v comes before the first", first)
			}
		})
	}
}

const rfcLayout = "2006 Jan 2 15:04"

// rfcDates parses a list of dates. The list ends if the rule does.
func rfcDates(t *testing.T, start, text string) (dates []string, ends bool) {
	t.Helper()
	year, month, day, clock := "", "", "", "00:00"
	if _, hours, ok := strings.Cut(start, "T"); ok {
		clock = hours[:2] + ":" + hours[2:4]
	}
	timed := false // the last date has a time of its own
	for word := range strings.FieldsSeq(text) {
		first, last, ranged := strings.Cut(word, "-")
		from, err := strconv.Atoi(first)
		switch {
		case word == "end":
			ends = true
		case strings.Contains(word, ":"):
			if !timed {
				dates = dates[:len(dates)-1]
			}
			timed = true
			dates = append(dates, strings.Join([]string{year, month, day, strings.Repeat("0", 5-len(word)) + word}, " "))
		case err != nil:
			month = word
		case from > 31:
			year = word
		default:
			to := from
			if ranged {
				to, _ = strconv.Atoi(last)
			}
			for n := from; n <= to; n++ {
				day, timed = strconv.Itoa(n), false
				dates = append(dates, strings.Join([]string{year, month, day, clock}, " "))
			}
		}
	}
	return dates, ends
}
