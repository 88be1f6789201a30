package schedule_test

import (
	"math"
	"testing"
	"time"

	"github.com/provost-go/provost/schedule"
)

func TestHas(t *testing.T) {
	noon := at(t, "2026-01-01T12:00:00Z")
	for _, test := range []struct {
		schedule schedule.Schedule
		time     time.Time
		want     bool
	}{
		{schedule.Cron("0 12 * * *"), noon, true},
		{schedule.Cron("0 12 * * *"), noon.Add(time.Nanosecond), false},
		{schedule.Cron("0 12 * * *"), noon.Add(-time.Nanosecond), false},
		{schedule.Cron("0 12 * * *"), noon.In(zone(t, "Asia/Tokyo")), true},
		{schedule.Cron("0 12 * * *").Except("2026-01-01"), noon, false},
		{schedule.Cron("0 12 * * *").From(noon).Until(noon), noon, true},
		{schedule.Every(time.Millisecond), noon.Add(time.Millisecond), true},
		{schedule.Every(time.Millisecond), noon.Add(time.Microsecond), false},
		{schedule.At(noon), noon, true},
		{schedule.At(noon.Add(999)), noon, true}, // truncated to microseconds
		{schedule.Cron("bad"), noon, false},
		{schedule.Schedule{}, time.Time{}, false},
	} {
		if got := test.schedule.Has(test.time); got != test.want {
			t.Errorf("%s: Has(%v) = %t", test.schedule, test.time, got)
		}
	}
}

func TestCountUntil(t *testing.T) {
	noon := at(t, "2026-01-01T12:00:00Z")
	day := 24 * time.Hour
	for _, test := range []struct {
		name     string
		schedule schedule.Schedule
		until    time.Time
		last     time.Time
		count    int
	}{
		{"the first alone", schedule.Cron("0 12 * * *"), noon, noon, 1},
		{"until is included", schedule.Cron("0 12 * * *"), noon.Add(2 * day), noon.Add(2 * day), 3},
		{"between two", schedule.Cron("0 12 * * *"), noon.Add(2*day - 1), noon.Add(day), 2},
		{"an exception", schedule.Cron("0 12 * * *").Except("2026-01-02"), noon.Add(2 * day), noon.Add(2 * day), 2},
		{"an even interval", schedule.Every(time.Hour), noon.Add(day + 1), noon.Add(day), 25},
		{"an even interval to its end", schedule.Every(time.Hour).Until(noon.Add(3 * time.Hour)), noon.Add(day), noon.Add(3 * time.Hour), 4},
		{"an even interval with an exception", schedule.Every(12 * time.Hour).Except("2026-01-02"), noon.Add(2 * day), noon.Add(2 * day), 3},
		{"twenty days of milliseconds", schedule.Every(time.Millisecond), noon.Add(20 * day), noon.Add(20 * day), 20*86_400_000 + 1},
		{"a century of milliseconds", schedule.Every(time.Millisecond), noon.Add(36_524 * day), noon.Add(36_524 * day), int(min(math.MaxInt, int64(36_524*86_400_000+1)))},
		{"more than a million minutes", schedule.Cron("* * * * *"), noon.Add(731 * day), noon.Add(731 * day), 1_000_000},
		{"a single instant", schedule.At(noon), noon.Add(day), noon, 1},
		{"a schedule that is not valid", schedule.Cron("bad"), noon.Add(day), noon, 1},
		{"an interval that is not valid", schedule.Every(0), noon.Add(day), noon, 1},
		{"the zero schedule", schedule.Schedule{}, noon.Add(day), noon, 1},
	} {
		if last, count := test.schedule.CountUntil(noon, test.until); !last.Equal(test.last) || count != test.count {
			t.Errorf("%s: got %v, %d; want %v, %d", test.name, last, count, test.last, test.count)
		}
	}
}
