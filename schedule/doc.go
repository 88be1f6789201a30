// Package schedule computes when something recurs: from cron expressions, fixed intervals, the
// recurrence rules of RFC 5545 and single instants, in any time zone, with one rule for daylight
// saving. It reads no clock and starts no goroutine, and a program may use it without the rest of
// provost.
//
//	s := schedule.Cron("30 2 * * *").In("Europe/Berlin").Except("2026-12-25")
//	if err := s.Err(); err != nil {
//		log.Fatal(err) // names each mistake and what to write instead
//	}
//	log.Print(s) // every day at 02:30, Europe/Berlin, except on 2026-12-25
//	for t := range s.All(time.Now()) {
//		time.Sleep(time.Until(t))
//		backUp()
//	}
//
// On the day in March on which the clocks of Berlin skip 02:30, this backup runs at 03:30. On the
// day in October on which they show 02:30 twice, it runs once.
//
// # Schedules
//
// A [Schedule] is a set of instants. [Cron], [Every], [RRule] and [At] make one, and its methods
// return a refined copy. The constructors do not fail: [Schedule.Err] reports every mistake at
// once, and a schedule that is not valid has no instants. [Schedule.String] says in English how the
// schedule was understood.
//
// The instants depend on the definition alone: not on when the program started, not on where a
// search begins, not on which machine asks. They are UTC, in whole microseconds, in the years 1 to
// 9999. [Schedule.Next] and [Schedule.Prev] find the neighbours of any time at the same cost,
// whether an interval began yesterday or in 2001.
//
// The time zone is an IANA name; see [Schedule.In]. The default is UTC. On a machine without a time
// zone database, import time/tzdata.
//
// A Schedule also carries settings for the runs that start at its instants: a name, a pause,
// jitter, parameters and a catch-up policy. A program that computes instants only can ignore them.
//
// # Cron
//
// A cron expression has five fields: minute, hour, day of month, month and day of week. The syntax
// is that of crontab(5) in Vixie and ISC cron, with the extensions of Quartz for days:
//
//   - * or ?: every value.
//   - 5, 1,15, 9-17, */15, 10-40/5: a value, a list, a range, steps. 5/15 continues to the end of
//     the field, and 22-2 and fri-mon wrap around.
//   - jan to dec, sun to sat: names, in any case. Sunday is 0 or 7.
//   - L, L-3 (day of month): the last day of the month, the third day before it.
//   - 15W, LW (day of month): the weekday, Monday to Friday, nearest to the 15th, and the last
//     weekday. Neither leaves the month.
//   - 5L or L5 (day of week): the last Friday of the month.
//   - 5#2 (day of week): the second Friday of the month.
//   - @hourly, @daily, @midnight, @weekly, @monthly, @yearly, @annually.
//
// Where both day fields are restricted, a day that matches either of them counts. A field that
// begins with *, such as */2, is not restricted: then a day must match both. This is Vixie cron's
// rule. [Schedule.DayAnd] always requires both.
//
// Refused, with an error that says what to write:
//
//   - an empty field, a number of fields other than five (there are no seconds), and more than 512
//     bytes;
//   - a time zone in the expression: use [Schedule.In];
//   - @every, which counts from the start of a process: use [Every];
//   - @reboot, which names no time;
//   - a step beyond its range, such as */90, which would match only the first value;
//   - an expression that never fires, such as 0 0 30 2 *.
//
// # Intervals
//
// Every(d) fires at anchor + k·d for every whole number k, negative ones included. The anchor is
// Monday 2001-01-01 00:00 in the schedule's zone unless [Schedule.Anchor] sets it, so that
// intervals are aligned to the clock and not to the start of a program. d is at least a
// millisecond, in whole microseconds.
//
// Under 24 hours, k·d is elapsed time. From 24 hours on, k·d is split into whole days, which are
// added on the calendar of the zone, and a rest, which is added as elapsed time: every 24 hours
// from 09:00 stays at 09:00 all year.
//
// # Recurrence rules
//
// [RRule] takes the parts of one rule, FREQ=DAILY;BYHOUR=9, or lines:
//
//	DTSTART;TZID=America/New_York:19970902T090000
//	RRULE:FREQ=MONTHLY;BYDAY=FR;BYMONTHDAY=13
//	EXDATE;TZID=America/New_York:19980213T090000
//
// It implements RFC 5545, section 3.3.10, in full: seven frequencies, INTERVAL, COUNT, UNTIL, every
// BY part, BYSETPOS and WKST; and up to 8 RRULE and EXRULE lines with any number of RDATE and
// EXDATE in 64 KiB of text. It refuses the combinations that the RFC forbids. These are its choices
// where the RFC leaves one:
//
//   - Without DTSTART a rule begins at 2020-01-01 00:00 in its zone, as Prefect's rules do.
//   - The TZID of DTSTART may name the zone instead of [Schedule.In]; two different zones are
//     refused. A DTSTART in UTC, with another zone set by In, is that instant, and the rule recurs
//     on the clock of the zone.
//   - DTSTART anchors the rule. It is an instant only if it matches a rule, or if there is no rule.
//   - A time that the clock skips is shifted, as everywhere in this package, and counts towards
//     COUNT.
//   - COUNT is at most 100,000, and must be reached within 400 years, or 100 years if FREQ is
//     HOURLY, MINUTELY or SECONDLY.
//   - BYWEEKNO without a day means the weekday of DTSTART.
//
// docs/schedules.md in the repository lists the rest.
//
// # Daylight saving
//
// A local time can be missing, where the clock jumps over it (a gap), or occur twice, where the
// clock is set back (an overlap). One rule holds for every kind of schedule:
//
//   - A schedule that names its times fires exactly once for each date and time that it names. In a
//     gap the time is shifted forward by the gap: 02:30 becomes 03:30. In an overlap it fires on
//     the first pass. Times that become one instant fire once.
//   - A schedule that repeats by elapsed time fires on both passes of an overlap, and not at all
//     for a time that never occurs.
//
// Which kind a schedule is:
//
//   - Cron names its times unless the minute or the hour field begins with *, as in */15 * * * *.
//   - Every names its times from 24 hours on, by whole days. Under 24 hours it follows elapsed
//     time.
//   - RRule names its times if FREQ is DAILY, WEEKLY, MONTHLY or YEARLY. HOURLY, MINUTELY and
//     SECONDLY follow elapsed time.
//
// [Schedule.Except] and [Schedule.ExceptOn] compare local dates, so that a gap or an overlap at
// midnight drops neither more nor less than a date.
//
// The rules have two sources. That a job with a fixed time runs exactly once, and that one whose
// minute or hour is a wildcard runs as the clock shows, is the rule of ISC cron (cron(8), "Daylight
// Saving Time and other time changes"), without its limit of three hours. How a missing or a
// repeated local time is read, by the offset before the gap and as the first occurrence, is RFC
// 5545, section 3.3.5. That section and section 3.3.10 contradict each other about missing times:
// the former shifts them, the latter drops them. This package shifts them.
//
// # Bounds and exceptions
//
// [Schedule.From] and [Schedule.Until] are inclusive. [Schedule.Except] drops the instants of local
// dates, at most 10,000 of them. [Schedule.ExceptOn] drops the instants of every local date on
// which another schedule has an instant, so that a list of holidays can be a schedule of its own;
// there are at most 64 of those, they have no ExceptOn themselves, and neither they nor the
// schedule may have EXRULE lines.
//
// # Jitter
//
// [Schedule.Jitter] spreads the load of many schedules that share an instant. It never moves an
// instant: [Schedule.DueTime] adds a delay that is a hash of the deployment, the schedule's key and
// the instant, the same in every process, and always before the next instant.
//
// # Catch-up
//
// A Schedule does not remember what ran. [Schedule.CatchUp] and [Schedule.CatchUpWindow] tell a
// scheduler, such as package provost, what to do with the instants that passed while nothing was
// running; it asks with [Schedule.CatchUpRule]:
//
//   - [CatchUpLatest], the default: the newest instant runs, however old unless a window limits it.
//   - [CatchUpAll]: the newest 100 instants within 24 hours, or the window, run, oldest first.
//   - [CatchUpNone]: nothing runs, except the newest instant if it is at most a minute old, so that
//     a restart at 02:00:00 does not lose the nightly run.
//
// # JSON
//
// A Schedule is written as one flat object, and read back as an equal Schedule:
//
//	{"cron":"0 2 * * *","timezone":"Europe/Berlin","jitter":"5m0s","slug":"nightly"}
//
// Exactly one of these keys decides the kind:
//
//   - cron: the expression. day_or, a boolean, may be beside it: false is DayAnd.
//   - interval: seconds, a plain decimal number with at most six decimals. anchor_date, an instant,
//     may be beside it.
//   - rrule: the rule.
//   - at: an instant.
//
// Instants are written as in RFC 3339, durations as time.Duration prints them. The other keys are
// timezone, from, until, except, except_on (an array of schedules), jitter, catch_up ("all" or
// "none"), catch_up_window, parameters, slug (the name) and paused. The timing keys have the names
// of Prefect's schedules. Unknown keys, repeated keys and schedules that are not valid are refused.
//
// # Cost
//
// Making a schedule and searching it take bounded time, whatever the text:
//
//   - Next and Prev take less than a microsecond for common schedules and allocate nothing.
//   - A search ends after 400 years, in which the calendar repeats.
//   - A search also ends after 4,096 steps over excepted dates, plus one for each date of Except.
//     A schedule whose dates are excepted for over five years in a row can reach this bound. Next
//     then returns false, although a later instant may exist.
//   - A search of a rule with EXRULE or EXDATE ends after 5,000 instants in a row that they drop
//     one by one.
//   - [Schedule.Between] returns at most a million instants, and [Schedule.CountUntil] counts at
//     most a million one by one.
//   - Parsed expressions are shared: the package keeps up to 4,096 of them, up to a mebibyte of
//     text.
//
// A fuzz test requires every search of a schedule whose JSON has up to a kibibyte to take less than
// 10 ms.
package schedule
