package proc

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"sync"
	"syscall"
)

// Registry is a file that lists the processes of one runner, for whoever comes after it. The runner holds a lock on it as long as it
// lives. It is safe for concurrent use.
//
// Writing is not synced: what is lost with the machine is of no use after it.
type Registry struct {
	root *os.Root
	name string
	file *os.File
	mark string // in the environment of the processes
	head int64  // length of the header

	// mu guards what follows.
	mu    sync.Mutex
	slots int   // lines of the file
	free  []int // of these, those without a process
}

// creations bounds the attempts to make a file that is not taken for an abandoned one.
const creations = 10

// OpenRegistry makes a registry in dir, a directory that belongs to this user alone; it is made if need be. "" is a directory of
// this user on this machine, the same for all runners.
func OpenRegistry(dir string) (*Registry, error) {
	root, err := openDirectory(dir)
	if err != nil {
		return nil, err
	}
	for range creations {
		var r *Registry
		r, err = newRegistry(root)
		if err == nil {
			return r, nil
		}
		if !errors.Is(err, fs.ErrNotExist) { // swept before it was locked
			break
		}
	}
	return nil, errors.Join(fmt.Errorf("registry of processes: %w", err), root.Close())
}

func newRegistry(root *os.Root) (*Registry, error) {
	runner, err := thisRunner()
	if err != nil {
		return nil, err
	}
	runner.mark = rand.Text()
	name := registryName(runner)
	file, err := root.OpenFile(name, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return nil, err
	}
	header := runner.header()
	err = writeHeader(root, name, file, header)
	if err != nil {
		return nil, errors.Join(err, file.Close())
	}
	return &Registry{root: root, name: name, file: file, mark: runner.mark, head: int64(len(header))}, nil
}

// writeHeader makes the file that of a living runner, unless a sweeper has removed it by then.
func writeHeader(root *os.Root, name string, file *os.File, header []byte) error {
	if _, err := lock(file, syscall.LOCK_EX); err != nil {
		return err
	}
	if _, err := file.Write(header); err != nil {
		return errors.Join(err, root.Remove(name))
	}
	_, err := root.Lstat(name)
	return err
}

// Close ends the lock and removes the registry. A process that it recorded and that Wait has not reaped by now stays recorded: it is
// swept once this process has ended.
func (r *Registry) Close() error {
	var err error
	r.mu.Lock()
	empty := len(r.free) == r.slots
	r.mu.Unlock()
	if empty {
		err = r.root.Remove(r.name)
	}
	if err = errors.Join(err, r.file.Close(), r.root.Close()); err != nil {
		return fmt.Errorf("close registry of processes: %w", err)
	}
	return nil
}

// add records a process that is not reaped.
func (r *Registry) add(pid int) (slot int, err error) {
	s, err := readStat(pid)
	if err != nil {
		return 0, fmt.Errorf("record process: %w", err)
	}
	slot = r.take()
	if err := r.write(slot, entry{pid: pid, start: s.start}.line()); err != nil {
		r.giveBack(slot)
		return 0, fmt.Errorf("record process %d: %w", pid, err)
	}
	return slot, nil
}

// remove forgets a process that is reaped. Should it fail, a stale line is left that fits no process.
func (r *Registry) remove(slot int) {
	_ = r.write(slot, freeLine)
	r.giveBack(slot)
}

func (r *Registry) take() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	if last := len(r.free) - 1; last >= 0 {
		slot := r.free[last]
		r.free = r.free[:last]
		return slot
	}
	r.slots++
	return r.slots - 1
}

func (r *Registry) giveBack(slot int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.free = append(r.free, slot)
}

func (r *Registry) write(slot int, line []byte) error {
	_, err := r.file.WriteAt(line, r.head+int64(slot)*lineSize)
	return err
}

// lock takes an exclusive lock (how: LOCK_EX, with LOCK_NB or without), which ends with the last descriptor of the opened file; false
// if another has it.
func lock(file *os.File, how int) (bool, error) {
	_, err := retry(func() (int, error) { return 0, syscall.Flock(int(file.Fd()), how) })
	switch {
	case err == nil:
		return true, nil
	case errors.Is(err, syscall.EWOULDBLOCK):
		return false, nil
	default:
		return false, fmt.Errorf("lock %s: %w", file.Name(), err)
	}
}
