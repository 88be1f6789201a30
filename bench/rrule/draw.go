package rrule

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Seed and Drawn are the arguments of Draw with which random.json was written.
const (
	Seed  = 20260105
	Drawn = 120
)

// Draw returns n random rules, the same ones for the same seed. Each is allowed by RFC 5545 and has
// at least three instants that the oracle finds without a long search.
func Draw(seed uint64, n int) []Rule {
	d := &drawer{rand.New(rand.NewPCG(seed, 5545))}
	bounds := map[frequency]time.Duration{daily: 60 * 365 * day, hourly: 40 * day, minutely: 4 * day, secondly: 8 * time.Hour}
	rules := make([]Rule, 0, n)
	for len(rules) < n {
		r := Rule{Name: fmt.Sprintf("random %d", len(rules)+1), Text: d.text(), N: 30}
		if instants, err := expand(r.Text, r.Zone, r.N, bounds); err == nil && len(instants) >= 3 {
			rules = append(rules, r)
		}
	}
	return rules
}

type drawer struct{ *rand.Rand }

func (d *drawer) chance(percent int) bool { return d.IntN(100) < percent }

// list returns BY values between least and most, some of them negative if negative is set.
func (d *drawer) list(least, most, length int, negative bool) string {
	var values []int
	for range 1 + d.IntN(length) {
		v := least + d.IntN(most-least+1)
		if negative && d.chance(30) {
			v = -v
		}
		if !slices.Contains(values, v) {
			values = append(values, v)
		}
	}
	slices.Sort(values)
	texts := make([]string, len(values))
	for i, v := range values {
		texts[i] = strconv.Itoa(v)
	}
	return strings.Join(texts, ",")
}

var (
	weekdays  = []string{"MO", "TU", "WE", "TH", "FR", "SA", "SU"}
	drawZones = []string{
		"America/New_York", "Europe/Berlin", "Australia/Lord_Howe", "Africa/Cairo", "Pacific/Apia",
		"America/Sao_Paulo", "Asia/Kathmandu",
	}
)

// weekdays returns a value of BYDAY: days with numbers up to most, or without numbers if most is 0.
func (d *drawer) weekdays(most int) string {
	days := slices.Clone(weekdays)
	d.Shuffle(len(days), func(i, j int) { days[i], days[j] = days[j], days[i] })
	days = days[:1+d.IntN(4)]
	for i := range days {
		if most > 0 {
			days[i] = d.list(1, most, 1, true) + days[i]
		}
	}
	return strings.Join(days, ",")
}

// text returns a recurrence set of one rule.
func (d *drawer) text() string {
	frequency := []frequency{
		yearly, yearly, yearly, yearly, monthly, monthly, monthly, monthly, weekly, weekly, daily, daily, daily,
		hourly, hourly, minutely, secondly,
	}[d.IntN(17)]
	start := time.Date(1998+d.IntN(40), time.Month(1+d.IntN(12)), 1+d.IntN(31), d.IntN(24), 5*d.IntN(12), 0, 0, time.UTC)
	parts := []string{"FREQ=" + frequencies[frequency]}
	add := func(name, value string) { parts = append(parts, name+"="+value) }
	if d.chance(50) {
		add("INTERVAL", strconv.Itoa(2+d.IntN(3)))
	}
	d.dates(frequency, add)
	d.times(frequency, add)
	if len(parts) > 2 && strings.HasPrefix(parts[len(parts)-1], "BY") && d.chance(25) {
		add("BYSETPOS", d.list(1, 4, 2, true))
	}
	if d.chance(30) {
		add("WKST", weekdays[d.IntN(7)])
	}
	head := "DTSTART:" + start.Format("20060102T150405Z")
	if frequency < hourly && d.chance(80) {
		head = "DTSTART;TZID=" + drawZones[d.IntN(len(drawZones))] + ":" + start.Format("20060102T150405")
	}
	switch {
	case d.chance(20):
		add("COUNT", strconv.Itoa(3+d.IntN(40)))
	case d.chance(20):
		span := []int{5000, 900, 200, 60, 20, 2, 1}[frequency]
		add("UNTIL", start.AddDate(0, 0, 1+d.IntN(span)).Format("20060102T150405Z"))
	}
	return head + "\nRRULE:" + strings.Join(parts, ";")
}

func (d *drawer) dates(frequency frequency, add func(name, value string)) {
	if d.chance(35) {
		add("BYMONTH", d.list(1, 12, 5, false))
	}
	weeks := frequency == yearly && d.chance(25)
	if weeks {
		add("BYWEEKNO", d.list(1, 53, 4, true))
	}
	if (frequency == yearly || frequency >= hourly) && d.chance(20) {
		add("BYYEARDAY", d.list(1, 366, 20, true))
	}
	if frequency != weekly && d.chance(30) {
		add("BYMONTHDAY", d.list(1, 31, 8, true))
	}
	if d.chance(50) {
		most := 0
		if frequency <= monthly && !weeks && d.chance(50) {
			most = []int{53, 5}[frequency]
		}
		add("BYDAY", d.weekdays(most))
	}
}

func (d *drawer) times(frequency frequency, add func(name, value string)) {
	if d.chance(20) {
		add("BYHOUR", d.list(0, 23, 6, false))
	}
	if d.chance(15) {
		add("BYMINUTE", d.list(0, 59, 3, false))
	}
	if frequency >= hourly && d.chance(15) {
		add("BYSECOND", d.list(0, 59, 3, false))
	}
}
