package proc

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"slices"
	"syscall"
	"time"
)

const (
	sweepTimeout  = 5 * time.Second // for killed processes to be gone
	maxRegistry   = 16 << 20        // bytes that are read of a registry
	maxHeld       = 256             // processes that a round kills
	strangerLimit = 24 * time.Hour  // age up to which the registry of another container is kept: this one cannot tell whether it is needed
)

// Sweep kills the processes that dead runners of this user left behind on this machine, and removes
// the registries of these runners. dir is the directory of the registries; "" means the default
// one, as in OpenRegistry. Sweep returns how many processes it killed. It never kills a process
// that it cannot prove to be theirs. Any number of processes may sweep at the same time.
//
// If some processes of a registry do not end, Sweep keeps the registry for the next Sweep, and the
// error names it.
func Sweep(ctx context.Context, dir string) (killed int, err error) {
	root, err := openDirectory(dir)
	if err != nil {
		return 0, fmt.Errorf("sweep: %w", err)
	}
	defer root.Close()
	self, err := thisRunner()
	if err != nil {
		return 0, fmt.Errorf("sweep: %w", err)
	}
	names, err := fs.Glob(root.FS(), namePrefix+"*")
	if err != nil {
		return 0, fmt.Errorf("sweep: %w", err)
	}
	ctx, cancel := context.WithTimeout(ctx, sweepTimeout)
	defer cancel()
	var errs []error
	for _, name := range names {
		s := &sweeper{root: root, name: name, self: self}
		if err := s.sweep(ctx); err != nil {
			errs = append(errs, fmt.Errorf("sweep %s: %w", name, err))
		}
		killed += s.killed
	}
	return killed, errors.Join(errs...)
}

// sweeper sweeps one registry.
type sweeper struct {
	root   *os.Root
	name   string
	self   runner // the one that sweeps
	dead   runner // the one that left the registry
	killed int
}

// sweep leaves a locked registry alone: its runner lives, or another sweeper works on it.
func (s *sweeper) sweep(ctx context.Context) error {
	file, err := s.root.OpenFile(s.name, os.O_RDWR|syscall.O_NOFOLLOW, 0)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	defer file.Close()
	if locked, err := lock(file, syscall.LOCK_EX|syscall.LOCK_NB); err != nil || !locked {
		return err
	}
	text, err := io.ReadAll(io.LimitReader(file, maxRegistry))
	if err != nil {
		return err
	}
	dead, entries, ok := parseRegistry(string(text))
	s.dead = dead
	switch {
	case !ok: // its runner died before it started a process
	case dead.boot != s.self.boot: // all its processes ended with that boot
	case dead.space != s.self.space:
		return s.forgetStranger(file)
	case dead.alive(): // it has closed the registry, or its file system does not keep locks
		return nil
	default:
		if err := s.endAll(ctx, entries); err != nil {
			return err
		}
	}
	return s.remove()
}

// remove removes the registry. It needs the lock: nobody else works on the file then, and its name
// is not used again.
func (s *sweeper) remove() error {
	if err := s.root.Remove(s.name); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

// forgetStranger removes the registry of another container once it is old.
func (s *sweeper) forgetStranger(file *os.File) error {
	info, err := file.Stat()
	if err != nil || time.Since(info.ModTime()) < strangerLimit {
		return err
	}
	return s.remove()
}

func (s *sweeper) endAll(ctx context.Context, entries []entry) error {
	var errs []error
	list, err := processes()
	if err != nil {
		return err
	}
	groups := make(map[int]bool, len(list))
	for i := range list {
		groups[list[i].group], groups[list[i].pid] = true, true
	}
	for _, e := range entries {
		if groups[e.pid] {
			errs = append(errs, s.end(ctx, e))
		}
	}
	return errors.Join(errs...)
}

// end kills what is left of one group, in rounds, until a round finds nothing: a process may have
// forked before it was killed.
func (s *sweeper) end(ctx context.Context, e entry) error {
	if e.pid == syscall.Getpgrp() {
		return fmt.Errorf("process group %d must be killed, but the sweeper is a member of it", e.pid)
	}
	counted := make(map[entry]bool)
	for pause := time.Millisecond; ; pause = min(2*pause, 50*time.Millisecond) {
		killed, done, err := s.round(e)
		for _, k := range killed {
			if !counted[k] {
				counted[k] = true
				s.killed++
			}
		}
		if err != nil || done {
			return err
		}
		if !sleep(ctx, pause) {
			return fmt.Errorf("process group %d is still alive: %w", e.pid, ctx.Err())
		}
	}
}

// round kills what it finds of a group. done reports whether it found nothing.
//
// The ID of a group proves nothing, because it is reused once the group is empty. So a round looks
// for an anchor: a member that is proved to belong to the dead runner. As long as the anchor is a
// member, the group is the runner's, and so is every member that is found meanwhile. Each victim is
// held by a pidfd before the anchor is checked again, so that the signal reaches this process or
// none. (Linux before 5.4 has no pidfds, and the signal is sent right after the check.) The anchor
// dies last. It is stopped until then, so that it starts nothing.
func (s *sweeper) round(e entry) (killed []entry, done bool, err error) {
	members, err := groupMembers(e.pid)
	if err != nil {
		return nil, false, err
	}
	anchor, ok := s.anchor(e, members)
	if !ok {
		return nil, true, nil
	}
	victims := holdAll(members, anchor)
	defer func() { releaseAll(victims) }()
	if !anchor.still() {
		return nil, false, nil
	}
	switch others := len(victims) > 0; {
	case !others && anchor.ended():
		return nil, true, nil
	case !others:
		victims = holdAll([]stat{anchor}, stat{})
	case !anchor.ended():
		err = anchor.stop()
	}
	for _, v := range victims {
		if signalErr := v.process.Signal(syscall.SIGKILL); signalErr == nil {
			killed = append(killed, v.entry)
		} else if !errors.Is(signalErr, os.ErrProcessDone) {
			err = errors.Join(err, fmt.Errorf("kill process %d: %w", v.pid, signalErr))
		}
	}
	return killed, false, err
}

func groupMembers(group int) ([]stat, error) {
	list, err := processes()
	if err != nil {
		return nil, err
	}
	return slices.DeleteFunc(list, func(s stat) bool { return s.group != group }), nil
}

// anchor returns a member that is proved to belong to the runner: the leader, by its start, or one
// that was started with the runner's mark.
func (s *sweeper) anchor(e entry, members []stat) (stat, bool) {
	for _, m := range members {
		if m.pid == e.pid && m.start == e.start {
			return m, true
		}
	}
	mark := []byte("\x00" + markKey + "=" + s.dead.mark + "\x00")
	for _, m := range members {
		if !m.ended() && bytes.Contains(slices.Concat([]byte{0}, environment(m.pid)), mark) && m.still() {
			return m, true
		}
	}
	return stat{}, false
}

// still reports whether the process still exists, in the same group.
func (s *stat) still() bool {
	now, err := readStat(s.pid)
	return err == nil && now.start == s.start && now.group == s.group
}

// stop stops a process, so that it starts no others.
func (s *stat) stop() error {
	for _, h := range holdAll([]stat{*s}, stat{}) {
		defer h.process.Release()
		if err := h.process.Signal(syscall.SIGSTOP); err != nil && !errors.Is(err, os.ErrProcessDone) {
			return fmt.Errorf("stop process %d: %w", s.pid, err)
		}
	}
	return nil
}

// held is a process with a handle, through which a signal reaches this process or none.
type held struct {
	entry
	process *os.Process
}

// holdAll holds the processes of a list that have not ended, except one, up to maxHeld.
func holdAll(list []stat, except stat) (all []held) {
	for _, s := range list {
		if s.ended() || s.pid == except.pid || len(all) == maxHeld {
			continue
		}
		process, err := os.FindProcess(s.pid)
		if err != nil {
			continue // it has ended
		}
		if !s.still() {
			_ = process.Release()
			continue
		}
		all = append(all, held{entry{s.pid, s.start}, process})
	}
	return all
}

func releaseAll(list []held) {
	for _, h := range list {
		_ = h.process.Release()
	}
}

// sleep waits for d. It returns false if ctx ends first.
func sleep(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-timer.C:
		return true
	}
}
