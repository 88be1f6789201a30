// Expands recurrence sets with ical.js. It reads one JSON request per line and writes one JSON answer per line.
//
// ical.js has no time zones other than those of a VTIMEZONE. It therefore expands local times, and this program
// turns them into instants of the zone.
import { createInterface } from 'node:readline';
import ICAL from 'ical.js';

const pattern = /^(\d{4})(\d\d)(\d\d)(?:T(\d\d)(\d\d)(\d\d)(Z?))?$/;

// Wall times and instants are milliseconds since 1970; wall times as if the local clock showed UTC.
class Clock {
  constructor(zone) {
    this.format = new Intl.DateTimeFormat('en-US', {
      timeZone: zone, hourCycle: 'h23', era: 'short',
      year: 'numeric', month: 'numeric', day: 'numeric', hour: 'numeric', minute: 'numeric', second: 'numeric',
    });
  }

  wall(instant) {
    const p = Object.fromEntries(this.format.formatToParts(instant).map(({ type, value }) => [type, Number(value)]));
    return Date.UTC(p.year, p.month - 1, p.day, p.hour, p.minute, p.second);
  }

  // Returns the first instant at which the clock shows the wall time; in a gap, the instant by the offset before it.
  instant(wall) {
    const offsets = [-30, 30].map((hours) => {
      const near = wall + hours * 3600e3;
      return this.wall(near) - near;
    });
    const shown = offsets.map((offset) => wall - offset).filter((t) => this.wall(t) === wall);
    return shown.length ? Math.min(...shown) : wall - offsets[0];
  }

  // Parses a date or a time, on the clock own unless it is in UTC, and returns the wall time and the instant.
  read(value, own = this) {
    const [, year, month, day, hour = 0, minute = 0, second = 0, utc] = pattern.exec(value.split('/')[0]);
    const digits = Date.UTC(year, month - 1, day, hour, minute, second);
    if (own === this && !utc) return { wall: digits, instant: this.instant(digits) };
    const instant = utc ? digits : own.instant(digits);
    return { wall: this.wall(instant), instant };
  }
}

const icalTime = (wall) => ICAL.Time.fromDateTimeString(new Date(wall).toISOString().slice(0, 19));

// The instants of an iterator. It reads a few ahead: near a gap the order on the clock is not that of the
// instants.
class Stream {
  constructor(iterator, clock) {
    Object.assign(this, { iterator, clock, ahead: [], wall: -Infinity });
    this.advance();
  }

  advance() {
    while (this.ahead.length < 8) {
      const t = this.iterator.next();
      if (!t) break;
      const wall = Date.UTC(t.year, t.month - 1, t.day, t.hour, t.minute, t.second);
      if (wall < this.wall) throw new Error('goes backwards');
      this.wall = wall;
      this.ahead.push(this.clock.instant(wall));
    }
    this.ahead.sort((a, b) => a - b);
    this.head = this.ahead.shift() ?? Infinity;
  }
}

function* properties(text) {
  for (const line of text.replace(/\r?\n[ \t]/g, '').split(/\r?\n/)) {
    const colon = line.indexOf(':');
    const head = colon < 0 ? 'RRULE' : line.slice(0, colon);
    const [name, ...parameters] = head.split(';');
    const tzid = parameters.find((p) => /^TZID=/i.test(p))?.slice(5);
    yield { name: name.toUpperCase(), tzid, value: line.slice(colon + 1).toUpperCase() };
  }
}

function expand({ text, zone, n }) {
  const lines = [...properties(text)];
  const { tzid, value } = lines.find(({ name }) => name === 'DTSTART') ?? { value: '20200101T000000' };
  const clock = new Clock(zone || tzid || 'UTC');
  const start = clock.read(value);

  const stream = (rule) => {
    const local = rule.replace(/UNTIL=([^;]+)/, (_, until) =>
      'UNTIL=' + new Date(clock.read(until).wall).toISOString().slice(0, 19).replace(/[-:]/g, ''));
    return new Stream(ICAL.Recur.fromString(local).iterator(icalTime(start.wall)), clock);
  };

  const named = (wanted) => lines.filter(({ name }) => name === wanted);
  const dates = (wanted) => named(wanted).flatMap(({ value, tzid }) =>
    value.split(',').map((item) => clock.read(item, tzid ? new Clock(tzid) : clock).instant));
  const rules = named('RRULE').map(({ value }) => stream(value));
  const exrules = named('EXRULE').map(({ value }) => stream(value));
  const exdates = new Set(dates('EXDATE'));
  let rdates = [...dates('RDATE'), ...(rules.length ? [] : [start.instant])].sort((a, b) => a - b);

  const found = [];
  while (found.length < n) {
    const least = Math.min(rdates[0] ?? Infinity, ...rules.map(({ head }) => head));
    if (least === Infinity) break;
    rdates = rdates.filter((t) => t > least);
    for (const s of exrules) while (s.head < least) s.advance();
    if (!exdates.has(least) && !exrules.some(({ head }) => head === least)) found.push(least);
    for (const s of rules) while (s.head <= least) s.advance();
  }
  return found.map((t) => new Date(t).toISOString().replace('.000', ''));
}

for await (const line of createInterface({ input: process.stdin })) {
  let answer;
  try {
    answer = { instants: expand(JSON.parse(line)) };
  } catch (error) {
    answer = { refused: String(error) }; // any error is an answer
  }
  console.log(JSON.stringify(answer));
}
