package recur

import (
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/robfig/cron/v3"
)

// maxExpr, in bytes, is far above any sensible expression: a list of all 60 minutes has 170.
const maxExpr = 512

// nicknames are those of crontab(5), except @reboot.
var nicknames = map[string]string{
	"@yearly":   "0 0 1 1 *",
	"@annually": "0 0 1 1 *",
	"@monthly":  "0 0 1 * *",
	"@weekly":   "0 0 * * 0",
	"@daily":    "0 0 * * *",
	"@midnight": "0 0 * * *",
	"@hourly":   "0 * * * *",
}

// fieldParser turns the plain part of each field into bits. It reads canonical text only: what
// robfig/cron accepts by accident (an empty field, *-5, +5) or panics on (TZ=UTC) is refused
// before.
var fieldParser = cron.NewParser(cron.Minute | cron.Hour | cron.Dom | cron.Month | cron.Dow)

// parseCron parses an expression. It does not check whether the expression ever fires.
func parseCron(expr string, zone *Zone, dayAnd bool) (*Cron, error) {
	fields, err := splitExpr(expr)
	if err != nil {
		return nil, err
	}
	var days dayRule
	var canonical, plain [5]string
	for i, text := range fields {
		canonical[i], plain[i], err = fieldKinds[i].read(text, &days)
		if err != nil {
			return nil, fmt.Errorf("field %d (%s) is %s: %w%s", i+1, fieldKinds[i].name, quote(text), err, takenBy(text))
		}
	}
	parsed, err := fieldParser.Parse(strings.Join(plain[:], " "))
	if err != nil {
		return nil, fmt.Errorf("cron expression %s: %w", quote(expr), err)
	}
	spec := parsed.(*cron.SpecSchedule)
	c := &Cron{
		zone:    zone,
		expr:    strings.Join(canonical[:], " "),
		minutes: spec.Minute & fieldKinds[0].all(),
		hours:   uint32(spec.Hour & fieldKinds[1].all()),
		months:  uint16(spec.Month & fieldKinds[3].all()),
		days:    days,
		passes:  passes(starred(canonical[0]) || starred(canonical[1])),
	}
	if plain[2] != unused {
		c.days.onDate = uint32(spec.Dom & fieldKinds[2].all())
	}
	if plain[4] != unused {
		c.days.onWeekday = uint8(spec.Dow & fieldKinds[4].all())
	}
	c.days.either = !dayAnd && !starred(canonical[2]) && !starred(canonical[4])
	return c, nil
}

// unused stands for a field that has special items only ("L"). It is valid in every field, and
// canonical text never contains it.
const unused = "1-1"

// starred is Vixie cron's test for an unrestricted field: it begins with *, as do */2 and *,5.
func starred(field string) bool { return field[0] == '*' }

// splitExpr returns the five fields of an expression or a nickname.
func splitExpr(expr string) ([]string, error) {
	if len(expr) > maxExpr {
		return nil, fmt.Errorf("cron expression has %d characters: at most %d are allowed", len(expr), maxExpr)
	}
	fields := strings.Fields(expr)
	if len(fields) == 0 {
		return nil, errors.New("cron expression is empty: write five fields, such as \"0 2 * * *\" for every day at 02:00")
	}
	first := strings.ToLower(fields[0])
	if strings.HasPrefix(first, "tz=") || strings.HasPrefix(first, "cron_tz=") {
		return nil, fmt.Errorf("cron expression begins with the time zone %s: remove it here and set the schedule's time zone", quote(fields[0]))
	}
	if first[0] == '@' {
		return splitNickname(expr, first, len(fields))
	}
	if len(fields) != 5 {
		return nil, wrongCount(expr, fields)
	}
	return fields, nil
}

func splitNickname(expr, name string, words int) ([]string, error) {
	switch name {
	case "@every":
		return nil, fmt.Errorf("cron expression %s counts from the start of a process: use an interval schedule, which has a fixed anchor", quote(expr))
	case "@reboot":
		return nil, fmt.Errorf("cron expression %s names no time: start a run by hand when the program starts", quote(expr))
	}
	fields, ok := nicknames[name]
	if !ok || words > 1 {
		return nil, fmt.Errorf("cron expression %s is not a known name: use @hourly, @daily, @midnight, @weekly, @monthly, @yearly, @annually, or five fields", quote(expr))
	}
	return strings.Fields(fields), nil
}

func wrongCount(expr string, fields []string) error {
	for i, text := range fields {
		if len(text) > 1 && text[len(text)-1] == ',' || i > 0 && len(text) > 1 && text[0] == ',' {
			return fmt.Errorf("cron expression %s has %d fields, because a space splits the list at %s: remove the space, as in 1,2", quote(expr), len(fields), quote(text))
		}
	}
	advice := ""
	switch len(fields) {
	case 6:
		advice = "; there are no seconds: leave out the first field, or use an interval schedule for less than a minute"
	case 7:
		advice = "; there are no seconds and no years: leave out the first and the last field"
	}
	return fmt.Errorf("cron expression %s has %d fields: write five (minute, hour, day of month, month, day of week)%s", quote(expr), len(fields), advice)
}

func errNeverFires(c *Cron) error {
	var fields []string
	for i, text := range strings.Fields(c.expr)[2:] {
		if text != "*" {
			fields = append(fields, fmt.Sprintf("field %d (%s) %s", i+3, fieldKinds[i+2].name, quote(text)))
		}
	}
	return fmt.Errorf("cron expression %s never fires: no date matches %s: change one of them, or write L in field 3 for the last day of a month", quote(c.expr), join(fields, "and"))
}

// takenBy returns a hint at the field that would accept the text, such as 5L or mon in field 3.
// Numbers alone give no hint.
func takenBy(text string) string {
	if strings.Trim(text, "0123456789*?/,-") == "" {
		return ""
	}
	for i := range fieldKinds {
		if _, _, err := fieldKinds[i].read(text, new(dayRule)); err == nil {
			return fmt.Sprintf("; field %d (%s) accepts it", i+1, fieldKinds[i].name)
		}
	}
	return ""
}

// fieldKind describes one of the five fields.
type fieldKind struct {
	name    string // in error messages
	plural  string
	lo, hi  int
	names   []string // of the values from lo on
	special func(k *fieldKind, item string, days *dayRule) (canonical string, ok bool, err error)
}

var fieldKinds = [5]fieldKind{
	{name: "minute", plural: "minutes", lo: 0, hi: 59},
	{name: "hour", plural: "hours", lo: 0, hi: 23},
	{name: "day of month", plural: "days of the month", lo: 1, hi: 31, special: specialDate},
	{
		name: "month", plural: "months", lo: 1, hi: 12,
		names: []string{"jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"},
	},
	{
		name: "day of week", plural: "days of the week", lo: 0, hi: 6,
		names: []string{"sun", "mon", "tue", "wed", "thu", "fri", "sat"}, special: specialWeekday,
	},
}

func (k *fieldKind) all() uint64 { return 1<<(k.hi+1) - 1<<k.lo }

// read returns the canonical text of a field, and the text of its plain items for the field parser.
// It adds special items to days.
func (k *fieldKind) read(text string, days *dayRule) (canonical, plain string, err error) {
	if strings.Trim(text, ",") == "" {
		return "", "", fmt.Errorf("no value: write * for every one; %s", k.bounds())
	}
	var shown, parsed []string
	for item := range strings.SplitSeq(strings.ToLower(text), ",") {
		if item == "" {
			return "", "", errors.New("a list has an empty item: remove the extra comma")
		}
		if k.special != nil {
			c, ok, err := k.special(k, item, days)
			if err != nil {
				return "", "", err
			}
			if ok {
				shown = append(shown, c)
				continue
			}
		}
		c, p, err := k.readItem(item)
		if err != nil {
			return "", "", err
		}
		shown, parsed = append(shown, c), append(parsed, p)
	}
	if len(parsed) == 0 {
		parsed = []string{unused}
	}
	return strings.Join(shown, ","), strings.Join(parsed, ","), nil
}

// readItem reads *, n and a-b, each with or without a /step.
func (k *fieldKind) readItem(item string) (canonical, plain string, err error) {
	span, stepText, stepped := strings.Cut(item, "/")
	lo, hi, err := k.readSpan(span, stepped)
	if err != nil {
		return "", "", err
	}
	width := hi - lo
	if width < 0 { // wraps: 22-2, fri-mon
		width += k.hi - k.lo + 1
	}
	step := 1
	if stepped {
		if step, err = readStep(stepText, width); err != nil {
			return "", "", err
		}
	}
	return k.canonicalItem(span, lo, hi, step), k.plainItem(lo, width, step), nil
}

// readSpan returns the ends of an item's range.
func (k *fieldKind) readSpan(span string, stepped bool) (lo, hi int, err error) {
	if span == "*" || span == "?" {
		return k.lo, k.hi, nil
	}
	if strings.HasPrefix(span, "*") || strings.HasPrefix(span, "?") {
		return 0, 0, fmt.Errorf("%s mixes * with other text: write * or a range such as %d-%d", quote(span), k.lo, k.hi)
	}
	from, to, ranged := strings.Cut(span, "-")
	if lo, err = k.readValue(from); err != nil {
		return 0, 0, err
	}
	switch {
	case ranged:
		if hi, err = k.readValue(to); err != nil {
			return 0, 0, err
		}
	case stepped: // n/step means n-max/step, as in robfig/cron and Quartz
		lo, hi = k.sunday(lo), k.hi
		return lo, hi, nil
	default:
		hi = lo
	}
	if k.isWeek() && lo == 0 && hi == 7 {
		return 0, 6, nil
	}
	return k.sunday(lo), k.sunday(hi), nil
}

func (k *fieldKind) isWeek() bool { return k.hi == 6 }

// sunday maps 7 to 0 in the day-of-week field: crontab(5) allows both.
func (k *fieldKind) sunday(value int) int {
	if k.isWeek() && value == 7 {
		return 0
	}
	return value
}

// readValue reads a number or a name.
func (k *fieldKind) readValue(text string) (int, error) {
	for i, name := range k.names {
		if text == name {
			return k.lo + i, nil
		}
	}
	if text == "" {
		return 0, fmt.Errorf("a number is missing: %s", k.bounds())
	}
	for _, r := range text {
		if r < '0' || r > '9' {
			return 0, fmt.Errorf("%s is not a number: %s", quote(text), k.bounds())
		}
	}
	value, err := strconv.Atoi(text)
	if k.isWeek() && value == 7 {
		return 7, nil
	}
	if err != nil || value < k.lo || value > k.hi {
		return 0, errors.New(k.bounds())
	}
	return value, nil
}

// bounds describes the values that a field accepts.
func (k *fieldKind) bounds() string {
	switch {
	case k.isWeek():
		return "days of the week go from 0 (Sunday) to 7 (Sunday again), or sun to sat"
	case k.names != nil:
		return fmt.Sprintf("%s go from %d to %d, or %s to %s", k.plural, k.lo, k.hi, k.names[0], k.names[len(k.names)-1])
	}
	return fmt.Sprintf("%s go from %d to %d", k.plural, k.lo, k.hi)
}

// readStep reads a step. It refuses one that leaves a single value: */60 in the minute field means
// "every hour" to its author and "minute 0" to cron.
func readStep(text string, width int) (int, error) {
	step, err := strconv.ParseUint(text, 10, 16) // the largest value if it is beyond 16 bits
	if err != nil && !errors.Is(err, strconv.ErrRange) || step == 0 {
		return 0, fmt.Errorf("the step %s is not a positive number: write one, such as /2", quote(text))
	}
	if step > 1 && int(step) > width {
		return 0, fmt.Errorf("the step %s is beyond the range, so only its first value would match: write that value alone, or a step up to %d", quote(text), max(width, 1))
	}
	return int(step), nil
}

// canonicalItem returns an item in numbers.
func (k *fieldKind) canonicalItem(span string, lo, hi, step int) string {
	text := strconv.Itoa(lo)
	switch {
	case span == "*" || span == "?":
		text = "*"
	case hi != lo:
		text += "-" + strconv.Itoa(hi)
	}
	if step > 1 {
		text += "/" + strconv.Itoa(step)
	}
	return text
}

// plainItem returns an item as a list of values, which leaves nothing for the field parser to
// interpret.
func (k *fieldKind) plainItem(lo, width, step int) string {
	values := make([]string, 0, width/step+1)
	for i := 0; i <= width; i += step {
		values = append(values, strconv.Itoa(k.lo+(lo-k.lo+i)%(k.hi-k.lo+1)))
	}
	return strings.Join(values, ",")
}

// specialDate reads L, L-3, LW and 15W.
func specialDate(k *fieldKind, item string, days *dayRule) (string, bool, error) {
	switch item {
	case "l":
		days.fromLast |= 1
		return "L", true, nil
	case "lw":
		days.nearLast = true
		return "LW", true, nil
	}
	if number, ok := strings.CutPrefix(item, "l-"); ok {
		return daysBeforeLast(number, days)
	}
	number, ok := strings.CutSuffix(item, "w")
	if !ok {
		return "", false, nil
	}
	date, err := k.readValue(number)
	if err != nil {
		return "", false, fmt.Errorf("%w; W follows one day, as in 15W, the weekday nearest to the 15th, or L, as in LW, the last weekday", err)
	}
	days.nearDate |= 1 << date
	return strconv.Itoa(date) + "W", true, nil
}

// daysBeforeLast reads the number in L-3.
func daysBeforeLast(text string, days *dayRule) (string, bool, error) {
	n, err := strconv.ParseUint(text, 10, 8)
	if err != nil || n < 1 || n > 30 {
		return "", false, fmt.Errorf("the number %s after L- is not 1 to 30: write L-3 for the third day before the last, or L for the last day of the month", quote(text))
	}
	days.fromLast |= 1 << n
	return "L-" + strconv.FormatUint(n, 10), true, nil
}

// specialWeekday reads 5L, L5 and 5#2, also with names.
func specialWeekday(k *fieldKind, item string, days *dayRule) (string, bool, error) {
	if text, nth, ok := strings.Cut(item, "#"); ok {
		day, err := k.readValue(text)
		if err != nil {
			return "", false, err
		}
		if len(nth) != 1 || nth[0] < '1' || nth[0] > '5' {
			return "", false, fmt.Errorf("the number %s after # is not 1 to 5: write 5#2 for the second Friday", quote(nth))
		}
		day = k.sunday(day)
		days.nthOf |= 1 << (7*int(nth[0]-'1') + day)
		return strconv.Itoa(day) + "#" + nth, true, nil
	}
	text, ok := strings.CutSuffix(item, "l")
	if !ok {
		text, ok = strings.CutPrefix(item, "l")
	}
	if !ok {
		return "", false, nil
	}
	if text == "" {
		return "", false, errors.New("a bare L names no weekday: write 5L for the last Friday")
	}
	day, err := k.readValue(text)
	if err != nil {
		return "", false, err
	}
	day = k.sunday(day)
	days.lastOf |= 1 << day
	return strconv.Itoa(day) + "L", true, nil
}

// quote returns a user's text on one line, cut if it is long.
func quote(text string) string {
	const most = 60
	if len(text) > most {
		return strconv.Quote(text[:most]) + "..."
	}
	return strconv.Quote(text)
}
