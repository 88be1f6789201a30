// Package recur computes recurrences: pure functions from a time to the next or the previous
// instant. It reads no clock and keeps no state between calls except caches; two processes with the
// same text and the same time zone data compute the same instants.
//
// [Cron] is a five-field expression, [Interval] a fixed distance from an anchor, [RRule] a
// recurrence set of RFC 5545. All of them read the clock of a [Zone] and share one rule for
// daylight saving. Its distinction of two kinds of schedules is that of ISC cron (cron(8),
// "Daylight Saving Time and other time changes"), its reading of a local time that of RFC 5545
// (section 3.3.5):
//
//   - A schedule that names local times fires exactly once for each date and time that it names. A
//     time that the clock jumps over is shifted forward by the jump; a time that the clock shows
//     twice fires on the first pass.
//   - A schedule that repeats by elapsed time (the minute or hour field of a cron expression begins
//     with *) fires whenever the clock shows a matching time: on both passes, and not at all for a
//     time that the clock never shows.
//
// Instants are UTC, in the years 1 to 9999, and form a set that does not depend on where a search
// begins.
package recur
