package recur

import (
	"math/bits"
	"slices"
)

// dayTimes is a set of times of day, each a number of seconds since midnight: every combination of
// an hour, a minute and a second of three sets. None of the sets is empty.
type dayTimes struct {
	hours   uint32   // bit n: hour n
	minutes uint64   // bit n: minute n
	seconds uint64   // bit n: second n
	ofHour  []uint16 // if not nil, the seconds of an hour, ascending, instead of minutes and seconds
}

const (
	allHours    = 1<<24 - 1
	allMinutes  = 1<<60 - 1
	secondsHour = 3600
)

// everyTime reports whether the set has every time.
func (t *dayTimes) everyTime() bool {
	return t.hours == allHours && t.minutes == allMinutes && t.seconds == allMinutes && t.ofHour == nil
}

// next returns the first time from second on, and false if there is none that day.
func (t *dayTimes) next(second int) (int, bool) {
	hour := second / secondsHour
	if t.hours>>hour&1 != 0 {
		if s, ok := t.nextInHour(second % secondsHour); ok {
			return hour*secondsHour + s, true
		}
	}
	rest := t.hours >> (hour + 1)
	if rest == 0 {
		return 0, false
	}
	s, _ := t.nextInHour(0)
	return (hour+1+bits.TrailingZeros32(rest))*secondsHour + s, true
}

func (t *dayTimes) nextInHour(second int) (int, bool) {
	if t.ofHour != nil {
		i, _ := slices.BinarySearch(t.ofHour, uint16(second))
		if i == len(t.ofHour) {
			return 0, false
		}
		return int(t.ofHour[i]), true
	}
	minute := second / 60
	if t.minutes>>minute&1 != 0 {
		if rest := t.seconds >> (second % 60); rest != 0 {
			return second + bits.TrailingZeros64(rest), true
		}
	}
	rest := t.minutes >> (minute + 1)
	if rest == 0 {
		return 0, false
	}
	return (minute+1+bits.TrailingZeros64(rest))*60 + bits.TrailingZeros64(t.seconds), true
}

// prev returns the last time up to second, and false if there is none that day.
func (t *dayTimes) prev(second int) (int, bool) {
	hour := second / secondsHour
	if t.hours>>hour&1 != 0 {
		if s, ok := t.prevInHour(second % secondsHour); ok {
			return hour*secondsHour + s, true
		}
	}
	rest := t.hours & (1<<hour - 1)
	if rest == 0 {
		return 0, false
	}
	s, _ := t.prevInHour(secondsHour - 1)
	return (bits.Len32(rest)-1)*secondsHour + s, true
}

func (t *dayTimes) prevInHour(second int) (int, bool) {
	if t.ofHour != nil {
		i, _ := slices.BinarySearch(t.ofHour, uint16(second+1))
		if i == 0 {
			return 0, false
		}
		return int(t.ofHour[i-1]), true
	}
	minute := second / 60
	if t.minutes>>minute&1 != 0 {
		if rest := t.seconds & (1<<(second%60+1) - 1); rest != 0 {
			return minute*60 + bits.Len64(rest) - 1, true
		}
	}
	rest := t.minutes & (1<<minute - 1)
	if rest == 0 {
		return 0, false
	}
	return (bits.Len64(rest)-1)*60 + bits.Len64(t.seconds) - 1, true
}

// count returns the number of times in a day.
func (t *dayTimes) count() int { return bits.OnesCount32(t.hours) * t.countInHour() }

func (t *dayTimes) countInHour() int {
	if t.ofHour != nil {
		return len(t.ofHour)
	}
	return bits.OnesCount64(t.minutes) * bits.OnesCount64(t.seconds)
}

// rank returns the number of times before second.
func (t *dayTimes) rank(second int) int {
	hour := second / secondsHour
	n := bits.OnesCount32(t.hours&(1<<hour-1)) * t.countInHour()
	if t.hours>>hour&1 != 0 {
		n += t.rankInHour(second % secondsHour)
	}
	return n
}

func (t *dayTimes) rankInHour(second int) int {
	if t.ofHour != nil {
		i, _ := slices.BinarySearch(t.ofHour, uint16(second))
		return i
	}
	minute := second / 60
	n := bits.OnesCount64(t.minutes&(1<<minute-1)) * bits.OnesCount64(t.seconds)
	if t.minutes>>minute&1 != 0 {
		n += bits.OnesCount64(t.seconds & (1<<(second%60) - 1))
	}
	return n
}

// nth returns the time that follows n others.
func (t *dayTimes) nth(n int) int {
	hour := nthBit(uint64(t.hours), n/t.countInHour())
	return hour*secondsHour + t.nthInHour(n%t.countInHour())
}

func (t *dayTimes) nthInHour(n int) int {
	if t.ofHour != nil {
		return int(t.ofHour[n])
	}
	perMinute := bits.OnesCount64(t.seconds)
	return nthBit(t.minutes, n/perMinute)*60 + nthBit(t.seconds, n%perMinute)
}

// nthBit returns the index of the set bit that has n lower ones.
func nthBit(set uint64, n int) int {
	for range n {
		set &= set - 1
	}
	return bits.TrailingZeros64(set)
}

// missing returns the first second of the day, from second on, that is not in the set. It returns
// the length of a day if there is none.
func (t *dayTimes) missing(second int) int {
	for second < secondsPerDay && t.has(second) {
		if second++; t.everySecond() {
			second = (second + secondsHour - 1) / secondsHour * secondsHour
		}
	}
	return second
}

// missingBefore returns the last second of the day, up to second, that is not in the set. It
// returns -1 if there is none.
func (t *dayTimes) missingBefore(second int) int {
	for second >= 0 && t.has(second) {
		if t.everySecond() {
			second -= second % secondsHour
		}
		second--
	}
	return second
}

func (t *dayTimes) has(second int) bool {
	found, ok := t.next(second)
	return ok && found == second
}

// everySecond reports whether the hours of the set have all their seconds.
func (t *dayTimes) everySecond() bool {
	return t.minutes == allMinutes && t.seconds == allMinutes && t.ofHour == nil
}
