package recur

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
)

// loadLocation loads a zone by name. Its errors say what to do.
func loadLocation(name string, load func(string) (*time.Location, error)) (*time.Location, error) {
	if strings.EqualFold(name, "Local") {
		return nil, fmt.Errorf("time zone %s is refused, because it means another zone on another machine: name one, such as Europe/Berlin, or leave it empty for UTC", quote(name))
	}
	if strings.HasPrefix(name, "posix/") || strings.HasPrefix(name, "right/") {
		_, base, _ := strings.Cut(name, "/")
		return nil, fmt.Errorf("time zone %s is refused, because not every machine has it: write %s", quote(name), quote(base))
	}
	loc, err := load(name)
	if err == nil {
		return loc, nil
	}
	if _, err := load(probeZone); err != nil {
		return nil, fmt.Errorf("time zone %s cannot be loaded, because this machine has no time zone data: import _ \"time/tzdata\" in the main package to build it in", quote(name))
	}
	if isZoneName(name) {
		return nil, fmt.Errorf("time zone %s exists, but this machine's time zone data lacks it: import _ \"time/tzdata\" in the main package, or update tzdata (%w)", quote(name), err)
	}
	return nil, unknownZone(name)
}

// probeZone is a zone that every copy of tzdata contains.
const probeZone = "Europe/London"

func unknownZone(name string) error {
	near := nearestNames(name)
	if len(near) == 0 {
		return errors.New("time zone " + quote(name) + " is unknown: write an IANA name, such as Europe/Berlin, or UTC")
	}
	return fmt.Errorf("time zone %s is unknown: did you mean %s?", quote(name), strings.Join(near, ", "))
}

// nearestNames returns up to three zone names that are similar to name, the most similar first. It
// compares name with the whole of each ("Europe/Berlin") and with its last part ("Berlin").
func nearestNames(name string) []string {
	type candidate struct {
		name     string
		distance int
	}
	name = strings.ReplaceAll(strings.ToLower(name), " ", "_")
	if len(name) > maxZoneName {
		return nil
	}
	limit := max(1, len(name)/3)
	var near []candidate
	for zone := range zoneNames() {
		lower := strings.ToLower(zone)
		last := lower[strings.LastIndexByte(lower, '/')+1:]
		if d := min(editDistance(name, lower), editDistance(name, last)); d <= limit {
			near = append(near, candidate{zone, d})
		}
	}
	slices.SortStableFunc(near, func(a, b candidate) int { return a.distance - b.distance })
	var names []string
	for _, c := range near[:min(3, len(near))] {
		names = append(names, c.name)
	}
	return names
}

// maxZoneName is longer than any name. Longer ones are not compared, which would be slow.
const maxZoneName = 40

// editDistance returns the Levenshtein distance, in bytes.
func editDistance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := diagonal
			if a[i] != b[j] {
				cost = 1 + min(diagonal, row[j], row[j+1])
			}
			diagonal, row[j+1] = row[j+1], cost
		}
	}
	return row[len(b)]
}

// isZoneName reports whether tzdata has a zone of that name.
func isZoneName(name string) bool {
	for zone := range zoneNames() {
		if zone == name {
			return true
		}
	}
	return false
}

// zoneNames returns an iterator over the names of [zoneList].
func zoneNames() func(yield func(string) bool) {
	return func(yield func(string) bool) {
		area := ""
		for word := range strings.FieldsSeq(zoneList) {
			if strings.HasSuffix(word, "/") {
				area = strings.TrimPrefix(word, "/")
			} else if !yield(area + word) {
				return
			}
		}
	}
}
