package proc

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strconv"
	"syscall"
)

// stat is a part of /proc/<pid>/stat.
type stat struct {
	pid   int
	state byte
	group int
	start uint64 // in ticks since the machine booted; together with pid it identifies a process until the next boot
	pages int64  // that are resident
}

// ended reports whether the process has ended and only waits to be reaped.
func (s *stat) ended() bool { return s.state == 'Z' || s.state == 'X' }

// readStat returns [fs.ErrNotExist] if there is no such process.
func readStat(pid int) (stat, error) {
	var buffer [1024]byte
	path := "/proc/" + strconv.Itoa(pid) + "/stat"
	n, err := readSmall(path, buffer[:])
	if errors.Is(err, syscall.ENOENT) || errors.Is(err, syscall.ESRCH) {
		return stat{}, fmt.Errorf("process %d: %w", pid, fs.ErrNotExist)
	}
	if err != nil {
		return stat{}, &fs.PathError{Op: "read", Path: path, Err: err}
	}
	s, ok := parseStat(buffer[:n])
	if !ok || s.pid != pid {
		return stat{}, fmt.Errorf("cannot parse %s: %.200q", path, buffer[:n])
	}
	return s, nil
}

// readSmall reads a small file of /proc with three system calls; package os needs twice as many.
func readSmall(path string, buffer []byte) (int, error) {
	fd, err := retry(func() (int, error) { return syscall.Open(path, syscall.O_RDONLY|syscall.O_CLOEXEC, 0) })
	if err != nil {
		return 0, err
	}
	defer syscall.Close(fd)
	return retry(func() (int, error) { return syscall.Read(fd, buffer) })
}

func retry(call func() (int, error)) (int, error) {
	for {
		if n, err := call(); err != syscall.EINTR {
			return n, err
		}
	}
}

// parseStat parses a line such as "12 (a name) S 1 12 ...". The name may contain any character,
// parentheses and spaces too.
func parseStat(line []byte) (s stat, ok bool) {
	open, end := bytes.IndexByte(line, '('), bytes.LastIndexByte(line, ')')
	if open < 1 || end < open {
		return s, false
	}
	const state, group, start, pages = 0, 2, 19, 21 // counted from the field after the name
	fields := bytes.Fields(line[end+1:])
	if len(fields) <= pages || len(fields[state]) != 1 {
		return s, false
	}
	var errs [4]error
	s.state = fields[state][0]
	s.pid, errs[0] = strconv.Atoi(string(line[:open-1]))
	s.group, errs[1] = strconv.Atoi(string(fields[group]))
	s.start, errs[2] = strconv.ParseUint(string(fields[start]), 10, 64)
	s.pages, errs[3] = strconv.ParseInt(string(fields[pages]), 10, 64)
	return s, errors.Join(errs[:]...) == nil
}

// processes lists the processes of this machine that this process may see.
func processes() ([]stat, error) {
	dir, err := os.Open("/proc")
	if err != nil {
		return nil, err
	}
	defer dir.Close()
	names, err := dir.Readdirnames(-1)
	if err != nil {
		return nil, err
	}
	var list []stat
	for _, name := range names {
		pid, err := strconv.Atoi(name)
		if err != nil {
			continue
		}
		s, err := readStat(pid)
		switch {
		case err == nil:
			list = append(list, s)
		case !errors.Is(err, fs.ErrNotExist): // else it has ended meanwhile
			return nil, err
		}
	}
	return list, nil
}

// environment returns the environment that a process was started with. Zero bytes separate the
// variables. It returns nil if it cannot be read.
func environment(pid int) []byte {
	text, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/environ")
	if err != nil {
		return nil // the process has ended, or is another user's
	}
	return text
}

// groupMemory returns the resident memory of all members of a group, in bytes.
func groupMemory(group int) (int64, error) {
	list, err := processes()
	if err != nil {
		return 0, fmt.Errorf("memory of process group %d: %w", group, err)
	}
	var pages int64
	for i := range list {
		if list[i].group == group {
			pages += list[i].pages
		}
	}
	return pages * int64(os.Getpagesize()), nil
}
