// Command rrulego expands recurrence sets with rrule-go. It reads one JSON request per line and
// writes one JSON answer per line. It is a process of its own because rrule-go does not return from
// some rules.
package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"log"
	"os"
	"slices"
	"strings"
	"time"

	rrulego "github.com/teambition/rrule-go"
)

type request struct {
	Text string `json:"text"`
	Zone string `json:"zone"`
	N    int    `json:"n"`
}

type answer struct {
	Instants []time.Time `json:"instants"`
	Refused  string      `json:"refused,omitempty"`
}

func main() {
	log.SetFlags(0)
	in, out := bufio.NewScanner(os.Stdin), json.NewEncoder(os.Stdout)
	for in.Scan() {
		var r request
		if err := json.Unmarshal(in.Bytes(), &r); err != nil {
			log.Fatal(err)
		}
		if err := out.Encode(reply(r)); err != nil {
			log.Fatal(err)
		}
	}
	if err := in.Err(); err != nil {
		log.Fatal(err)
	}
}

func reply(r request) (a answer) {
	defer func() {
		if p := recover(); p != nil {
			a = answer{Refused: fmt.Sprint("panic: ", p)}
		}
	}()
	instants, err := expand(r)
	if err != nil {
		return answer{Refused: err.Error()}
	}
	return answer{Instants: instants}
}

// stream yields the instants of a rule, one at a time.
type stream struct {
	next func() (time.Time, bool)
	head time.Time
	ok   bool
}

func (s *stream) advance() { s.head, s.ok = s.next() }

// expand combines the rules itself: a set of rrule-go has one rule, and no EXRULE.
func expand(r request) ([]time.Time, error) {
	text := strings.NewReplacer("\r\n ", "", "\r\n\t", "", "\n ", "", "\n\t", "", "\r\n", "\n").Replace(r.Text)
	zone := time.UTC
	if r.Zone != "" {
		location, err := time.LoadLocation(r.Zone)
		if err != nil {
			return nil, err
		}
		zone = location
	}
	start := time.Date(2020, 1, 1, 0, 0, 0, 0, zone)
	var rules, exrules []*stream
	var rdates, exdates []time.Time
	for line := range strings.SplitSeq(text, "\n") {
		if !strings.Contains(line, ":") {
			line = "RRULE:" + line
		}
		cut := strings.IndexAny(line, ";:")
		name, rest := strings.ToUpper(line[:cut]), line[cut+1:]
		switch name {
		case "DTSTART":
			t, err := rrulego.StrToDtStart(rest, zone)
			if err != nil {
				return nil, err
			}
			if r.Zone == "" {
				zone = t.Location()
			}
			start = t.In(zone)
		case "RRULE", "EXRULE":
			s, err := newStream(rest, start)
			if err != nil {
				return nil, err
			}
			if name == "RRULE" {
				rules = append(rules, s)
			} else {
				exrules = append(exrules, s)
			}
		case "RDATE", "EXDATE":
			dates, err := rrulego.StrToDatesInLoc(rest, zone)
			if err != nil {
				return nil, err
			}
			if name == "RDATE" {
				rdates = append(rdates, dates...)
			} else {
				exdates = append(exdates, dates...)
			}
		default:
			return nil, fmt.Errorf("property %s is unknown", name)
		}
	}
	if rules == nil {
		rdates = append(rdates, start)
	}
	return without(merged(rules, rdates), exrules, exdates, r.N), nil
}

func newStream(text string, start time.Time) (*stream, error) {
	option, err := rrulego.StrToROptionInLocation(strings.ToUpper(text), start.Location())
	if err != nil {
		return nil, err
	}
	option.Dtstart = start
	rule, err := rrulego.NewRRule(*option)
	if err != nil {
		return nil, err
	}
	s := &stream{next: rule.Iterator()}
	s.advance()
	return s, nil
}

// merged returns a function that yields the instants of the streams and the dates, in order.
func merged(streams []*stream, dates []time.Time) func() (time.Time, bool) {
	slices.SortFunc(dates, time.Time.Compare)
	streams = append(slices.Clone(streams), &stream{next: func() (t time.Time, ok bool) {
		if len(dates) == 0 {
			return t, false
		}
		t, dates = dates[0], dates[1:]
		return t, true
	}})
	streams[len(streams)-1].advance()
	return func() (time.Time, bool) {
		var least *stream
		for _, s := range streams {
			if s.ok && (least == nil || s.head.Before(least.head)) {
				least = s
			}
		}
		if least == nil {
			return time.Time{}, false
		}
		t := least.head
		least.advance()
		return t, true
	}
}

// without returns the first n instants that are not excepted.
func without(next func() (time.Time, bool), exrules []*stream, exdates []time.Time, n int) []time.Time {
	instants := []time.Time{}
	for len(instants) < n {
		t, ok := next()
		if !ok {
			break
		}
		excepted := slices.ContainsFunc(exdates, t.Equal)
		for _, s := range exrules {
			for s.ok && s.head.Before(t) {
				s.advance()
			}
			excepted = excepted || s.ok && s.head.Equal(t)
		}
		if excepted || len(instants) > 0 && instants[len(instants)-1].Equal(t) {
			continue
		}
		instants = append(instants, t.UTC())
	}
	return instants
}
