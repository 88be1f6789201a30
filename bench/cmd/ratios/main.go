// Command ratios reads the output of go test -bench and prints, as a table in Markdown, the median
// times of provost and of the other library in each benchmark, and how many times as long the other
// one takes. It copies every other line to standard error.
package main

import (
	"bufio"
	"fmt"
	"io"
	"log"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
)

func main() {
	log.SetFlags(0)
	if err := printRatios(os.Stdin, os.Stdout, os.Stderr); err != nil {
		log.Fatal(err)
	}
}

// result matches a line such as "BenchmarkCron/0_3_*_*_*,_UTC/provost-2  8312044  143.1 ns/op".
var result = regexp.MustCompile(`^Benchmark(\S+?)/(\S+)/([^/\s]+?)(?:-\d+)?\s+\d+\s+([0-9.]+) ns/op`)

// comparison holds the times, in nanoseconds, of one benchmark.
type comparison struct {
	group, what, peer string
	ours, theirs      []float64
}

func printRatios(in io.Reader, out, rest io.Writer) error {
	var comparisons []*comparison
	lines := bufio.NewScanner(in)
	for lines.Scan() {
		m := result.FindStringSubmatch(lines.Text())
		if m == nil {
			if _, err := fmt.Fprintln(rest, lines.Text()); err != nil {
				return err
			}
			continue
		}
		group, what, whose := m[1], strings.NewReplacer("÷", "/", "_", " ").Replace(m[2]), m[3]
		nanoseconds, err := strconv.ParseFloat(m[4], 64)
		if err != nil {
			return err
		}
		i := slices.IndexFunc(comparisons, func(c *comparison) bool { return c.group == group && c.what == what })
		if i < 0 {
			i = len(comparisons)
			comparisons = append(comparisons, &comparison{group: group, what: what})
		}
		c := comparisons[i]
		if whose == "provost" {
			c.ours = append(c.ours, nanoseconds)
		} else {
			c.peer, c.theirs = whose, append(c.theirs, nanoseconds)
		}
	}
	if err := lines.Err(); err != nil {
		return err
	}
	group := ""
	for _, c := range comparisons {
		if c.ours == nil || c.theirs == nil {
			return fmt.Errorf("%s, %s: only one side was measured", c.group, c.what)
		}
		if c.group != group {
			group = c.group
			if _, err := fmt.Fprintf(out, "\n| %s | provost | %s | times |\n|---|---:|---:|---:|\n", group, c.peer); err != nil {
				return err
			}
		}
		ours, theirs := median(c.ours), median(c.theirs)
		times := strconv.FormatFloat(theirs/ours, 'g', 3, 64)
		if theirs > 1000*ours {
			times = strconv.FormatFloat(theirs/ours, 'f', 0, 64)
		}
		if _, err := fmt.Fprintf(out, "| `%s` | %s | %s | %s |\n", c.what, short(ours), short(theirs), times); err != nil {
			return err
		}
	}
	return nil
}

func median(values []float64) float64 {
	slices.Sort(values)
	n := len(values)
	return (values[(n-1)/2] + values[n/2]) / 2
}

// short formats a duration with three digits.
func short(nanoseconds float64) string {
	d := time.Duration(nanoseconds)
	for unit := time.Duration(1); ; unit *= 10 {
		if d < 1000*unit {
			return d.Round(unit).String()
		}
	}
}
