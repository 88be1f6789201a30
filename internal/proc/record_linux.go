package proc

import (
	"bytes"
	"fmt"
	"os"
	"strconv"
	"strings"
)

// A registry is text: a header that says whose it is, then a line of fixed size for each process, blank where there is none. A line
// may be torn or stale: what it says is believed only as far as a living process bears it out.

// runner is the header.
type runner struct {
	boot  string // what this boot of the machine is called
	space string // the processes that pid counts among: containers have their own
	pid   int
	start uint64
	mark  string
}

const magic = "provost-processes-1"

// thisRunner is what this process would be called, without a mark.
func thisRunner() (runner, error) {
	boot, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		return runner{}, err
	}
	space, err := os.Readlink("/proc/self/ns/pid")
	if err != nil {
		return runner{}, err
	}
	self, err := readStat(os.Getpid())
	if err != nil {
		return runner{}, err
	}
	return runner{boot: strings.TrimSpace(string(boot)), space: space, pid: self.pid, start: self.start}, nil
}

func (r runner) header() []byte {
	return fmt.Appendf(nil, "%s %s %s %d %d %s\n", magic, r.boot, r.space, r.pid, r.start, r.mark)
}

// alive reports whether the runner still is there; its machine is this one.
func (r runner) alive() bool {
	s, err := readStat(r.pid)
	return err == nil && s.start == r.start && !s.ended()
}

func parseHeader(line string) (r runner, ok bool) {
	fields := strings.Fields(line)
	if len(fields) != 6 || fields[0] != magic {
		return r, false
	}
	pid, pidErr := strconv.Atoi(fields[3])
	start, startErr := strconv.ParseUint(fields[4], 10, 64)
	return runner{boot: fields[1], space: fields[2], pid: pid, start: start, mark: fields[5]}, pidErr == nil && startErr == nil
}

// entry is one line: the leader of a group, which has its number.
type entry struct {
	pid   int
	start uint64
}

const lineSize = 32

var freeLine = append(bytes.Repeat([]byte{' '}, lineSize-1), '\n')

func (e entry) line() []byte { return fmt.Appendf(nil, "%10d %20d\n", e.pid, e.start) }

func parseEntry(line string) (e entry, ok bool) {
	fields := strings.Fields(line)
	if len(fields) != 2 {
		return e, false
	}
	pid, pidErr := strconv.Atoi(fields[0])
	start, startErr := strconv.ParseUint(fields[1], 10, 64)
	return entry{pid: pid, start: start}, pidErr == nil && startErr == nil && pid > 1
}

// parseRegistry reads what a runner wrote, as far as it got; false if that is not even the header.
func parseRegistry(text string) (r runner, entries []entry, ok bool) {
	header, rest, whole := strings.Cut(text, "\n")
	if r, ok = parseHeader(header); !ok || !whole {
		return r, nil, false
	}
	for line := range strings.Lines(rest) {
		if e, ok := parseEntry(line); ok && strings.HasSuffix(line, "\n") {
			entries = append(entries, e)
		}
	}
	return r, entries, true
}

func registryName(r runner) string { return fmt.Sprintf("%s%d-%s", namePrefix, r.pid, r.mark) }

const namePrefix = "runner-"
