package schedule_test

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/provost-go/provost/schedule"
)

func TestScheduleJSON(t *testing.T) {
	tests := []string{
		`{"cron":"@daily"}`,
		`{"cron":"0 2 * * mon-fri","day_or":false,"timezone":"Europe/Berlin"}`,
		`{"interval":0.001}`,
		`{"interval":86400,"anchor_date":"2026-01-05T14:00:00Z","timezone":"America/New_York"}`,
		`{"interval":9223372036.854775}`,
		`{"rrule":"DTSTART:20200101T000000\nRRULE:FREQ=DAILY"}`,
		`{"at":"2026-01-05T14:00:00.123456Z","slug":"once","paused":true}`,
		`{"cron":"0 2 * * *","timezone":"UTC","from":"2026-01-01T00:00:00Z","until":"2026-02-01T00:00:00Z",` +
			`"except":["2026-01-06","2026-01-07"],"except_on":[{"cron":"0 0 25 12 *"},{"cron":"0 0 1 1 *","timezone":"Asia/Tokyo"}],` +
			`"jitter":"1m30.5s","catch_up":"all","catch_up_window":"1h0m0s","parameters":{"big":9007199254740993,"region":"eu"}}`,
	}
	for _, text := range tests {
		var sched schedule.Schedule
		if err := json.Unmarshal([]byte(text), &sched); err != nil {
			t.Errorf("%s: %v", text, err)
			continue
		}
		written, err := json.Marshal(sched)
		if err != nil || string(written) != text {
			t.Errorf("got  %s, %v\nwant %s", written, err, text)
		}
	}
}

func TestScheduleJSONIsPrefects(t *testing.T) {
	var sched schedule.Schedule
	text := `{"interval": 3600.0, "anchor_date": "2026-01-05T09:00:00-05:00", "timezone": null}`
	if err := json.Unmarshal([]byte(text), &sched); err != nil {
		t.Fatal(err)
	}
	want := schedule.Every(time.Hour).Anchor(at(t, "2026-01-05T14:00:00Z"))
	if sched.Key() != want.Key() {
		t.Errorf("got %s, want %s", sched, want)
	}
}

func TestScheduleJSONRefuses(t *testing.T) {
	for text, want := range map[string]string{
		`null`:                              "not an object",
		`[]`:                                "not an object",
		`{}`:                                "no kind",
		`{"cron":null}`:                     "no kind",
		`{"timezone":"UTC"}`:                "no kind",
		`{"cron":"@daily","interval":5}`:    "two kinds",
		`{"cron":"@daily","cron":"@daily"}`: "twice",
		`{"Cron":"@daily"}`:                 "unknown",
		`{"cron":"@daily","active":true}`:   "unknown",
		`{"cron":5}`:                        "cron",
		`{"interval":-5}`:                   "the shortest is 1ms",
		`{"interval":"3600"}`:               "plain decimal",
		`{"interval":1.0000001}`:            "plain decimal",
		`{"cron":"bad","timezone":"Mars/Olympus","catch_up":"never"}`:                       "Mars/Olympus",
		`{"cron":"@daily","except":["soon"]}`:                                               "soon",
		`{"cron":"@daily","jitter":5}`:                                                      "jitter",
		`{"interval":60,"day_or":true}`:                                                     "cron only",
		`{"cron":"@daily","anchor_date":"2026-01-05T14:00:00Z"}`:                            "interval only",
		`{"rrule":"FREQ=DAILY","slug":"A/B"}`:                                               "lower-case",
		`{"at":"9999-12-31T23:59:59-12:00"}`:                                                "years 1 to 9999",
		`{"interval":60,"anchor_date":"0001-01-01T00:00:00+14:00"}`:                         "years 1 to 9999",
		`{"cron":"@daily","from":"0001-01-01T00:00:00+14:00"}`:                              "years 1 to 9999",
		`{"cron":"@daily","until":"9999-12-31T23:59:59-12:00"}`:                             "years 1 to 9999",
		`{"interval":"PT1H"}`:                                                               "plain decimal",
		`{"interval":1e3}`:                                                                  "plain decimal",
		`{"interval":0.0000000001}`:                                                         "plain decimal",
		`{"interval":99999999999999999999}`:                                                 "plain decimal",
		`{"at":"tomorrow"}`:                                                                 "not an instant",
		`{"cron":"@daily","except_on":[{"cron":"@daily","except_on":[{"cron":"@daily"}]}]}`: "calendars of its own",
	} {
		sched := schedule.Cron("@hourly")
		err := sched.UnmarshalJSON([]byte(text))
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v, want an error with %q", text, err, want)
		}
		if sched.Expr() != "0 * * * *" {
			t.Errorf("%s: the schedule has changed to %s", text, sched)
		}
	}
	if _, err := json.Marshal(schedule.Schedule{}); err == nil {
		t.Error("the zero schedule was written")
	}
}

func FuzzScheduleJSON(f *testing.F) {
	f.Add([]byte(`{"cron":"0 2 * * *","timezone":"Europe/Berlin","except":["2026-12-25"],"except_on":[{"cron":"@monthly"}]}`))
	f.Add([]byte(`{"interval":86400.5,"anchor_date":"2026-01-05T09:00:00-05:00","jitter":"1s","parameters":{"a":[1,{}]}}`))
	f.Add([]byte(`{"at":"2026-01-05T09:00:00Z","slug":"x","paused":true,"catch_up":"none","catch_up_window":"5s"}`))
	f.Add([]byte(`{"rrule":"FREQ=DAILY","from":"0001-01-01T00:00:00Z","until":"9999-12-31T23:59:59.999Z"}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		var sched, again schedule.Schedule
		if json.Unmarshal(data, &sched) != nil {
			return
		}
		first, err := json.Marshal(sched)
		if err != nil {
			t.Fatalf("%s is read but not written: %v", data, err)
		}
		if err := json.Unmarshal(first, &again); err != nil {
			t.Fatalf("%s is written but not read: %v", first, err)
		}
		for _, from := range []time.Time{{}, time.Unix(1_772_000_000, 1)} {
			if next, ok := sched.Next(from); ok && !next.After(from) {
				t.Fatalf("%s: Next(%v) = %v", sched, from, next)
			}
			if prev, ok := sched.Prev(from); ok && !prev.Before(from) {
				t.Fatalf("%s: Prev(%v) = %v", sched, from, prev)
			}
		}
		second, _ := json.Marshal(again)
		if string(first) != string(second) || sched.Key() != again.Key() || sched.String() != again.String() {
			t.Fatalf("%s\nbecomes %s", first, second)
		}
	})
}
