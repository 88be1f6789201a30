// Package recur says what a schedule's timing means: pure functions from a time to the next or the previous instant. It
// knows no store, no clock and no run; two processes that hold the same text compute the same instants.
//
// [Cron] is a five-field expression, [Interval] a fixed distance from an anchor, [RRule] a recurrence set of RFC 5545, and
// all read the clock of a [Zone].
// What they share is one rule for daylight saving, taken from ISC cron (cron(8), "Daylight Saving Time and other time
// changes") and made exact:
//
//   - A schedule that names a local time fires exactly once for each date and
//     time it names. A time that a zone's clock jumps over is shifted forward
//     by the jump; a time that the clock shows twice fires on the first pass.
//   - A schedule that says "every so often" (the minute or hour field begins
//     with *) follows elapsed time: it fires whenever the clock shows a
//     matching time, on both passes, and not at all for a time that the clock
//     never shows.
//
// Instants are UTC, lie in the years 1 to 9999, and form a set that does not depend on where a search begins.
package recur
