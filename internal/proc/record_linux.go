package proc

import (
	"bytes"
	"fmt"
	"os"
	"strconv"
	"strings"
)

// A registry is text: a header that identifies its runner, then a line of fixed size for each
// process; unused lines are blank. A line may be torn or stale, so it counts only if it matches a
// living process.

// runner is the header of a registry.
type runner struct {
	boot  string // ID of this boot of the machine
	space string // namespace of pid: a container has its own
	pid   int
	start uint64
	mark  string
}

const magic = "provost-processes-1"

// thisRunner returns the header for this process, without a mark.
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

// alive reports whether the runner, which is one of this machine, is alive.
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

// entry is one line: the leader of a group, whose ID is that of the group.
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

// parseRegistry parses as much of a registry as its runner has written. ok is false if the header
// is not complete.
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
