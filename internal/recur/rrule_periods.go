package recur

// frequency is FREQ, from the shortest period to the longest.
type frequency uint8

const (
	secondly frequency = iota
	minutely
	hourly
	daily
	weekly
	monthly
	yearly
)

// periods are the days, weeks, months or years that a rule uses: every interval-th one, counted
// from that of DTSTART. Periods have numbers; days and dates are counted from 1970-01-01.
type periods struct {
	freq      frequency // daily or longer
	interval  int64
	origin    int64 // the number of DTSTART's period
	weekStart int
}

// of returns the period that contains a day.
func (p *periods) of(day int64) int64 {
	switch p.freq {
	case daily:
		return day
	case weekly:
		return floorDiv(day+4-int64(p.weekStart), 7) // 1970-01-01 was a Thursday
	}
	year, month, _ := civil(day)
	if p.freq == yearly {
		return year
	}
	return year*12 + int64(month-1)
}

// start returns the first day of a period.
func (p *periods) start(number int64) int64 {
	switch p.freq {
	case daily:
		return number
	case weekly:
		return number*7 - 4 + int64(p.weekStart)
	case monthly:
		return monthStart(number)
	}
	return yearStart(number)
}

// used returns the first period from number on that the rule uses.
func (p *periods) used(number int64) int64 {
	return number + modulo(p.origin-number, p.interval)
}

// usedBefore returns the last period up to number that the rule uses.
func (p *periods) usedBefore(number int64) int64 {
	return number - modulo(number-p.origin, p.interval)
}

// next returns the first day, from day on, of a period that the rule uses.
func (p *periods) next(day int64) int64 {
	if p.interval == 1 {
		return day
	}
	number := p.of(day)
	if used := p.used(number); used != number {
		return p.start(used)
	}
	return day
}

// prev returns the last day, up to day, of a period that the rule uses.
func (p *periods) prev(day int64) int64 {
	if p.interval == 1 {
		return day
	}
	number := p.of(day)
	if used := p.usedBefore(number); used != number {
		return p.start(used+1) - 1
	}
	return day
}

// modulo returns a mod b, which is never negative.
func modulo(a, b int64) int64 {
	m := a % b
	if m < 0 {
		m += b
	}
	return m
}
