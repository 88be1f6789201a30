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

// Registry is a file that lists the processes of one runner, for the runners after it. The runner
// holds a lock on the file as long as it lives. A Registry is safe for concurrent use.
//
// Writes are not synced: after a crash of the machine no process is left to sweep.
type Registry struct {
	root *os.Root
	name string
	file *os.File
	mark string // in the environment of the processes
	head int64  // length of the header

	// mu guards the fields below.
	mu    sync.Mutex
	slots int   // how many lines the file has
	free  []int // the lines without a process
}

// maxCreations is how often OpenRegistry tries to create a file, which a sweeper may take for an
// abandoned one and remove.
const maxCreations = 10

// OpenRegistry creates a registry in dir, which it creates if necessary. Only this user may have
// access to dir. "" means a directory of this user on this machine, the same for all runners.
func OpenRegistry(dir string) (*Registry, error) {
	root, err := openDirectory(dir)
	if err != nil {
		return nil, err
	}
	for range maxCreations {
		var r *Registry
		r, err = newRegistry(root)
		if err == nil {
			return r, nil
		}
		if !errors.Is(err, fs.ErrNotExist) { // a sweeper removed it before it was locked
			break
		}
	}
	return nil, errors.Join(fmt.Errorf("process registry: %w", err), root.Close())
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

// writeHeader locks a new file and writes the header. It returns [fs.ErrNotExist] if a sweeper has
// removed the file meanwhile.
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

// Close releases the lock and removes the file, unless a process in it is not reaped yet. Such a
// process stays recorded, and is swept once this process has ended.
func (r *Registry) Close() error {
	var err error
	r.mu.Lock()
	empty := len(r.free) == r.slots
	r.mu.Unlock()
	if empty {
		err = r.root.Remove(r.name)
	}
	if err = errors.Join(err, r.file.Close(), r.root.Close()); err != nil {
		return fmt.Errorf("close the process registry: %w", err)
	}
	return nil
}

// add records a process, which must not be reaped yet.
func (r *Registry) add(pid int) (slot int, err error) {
	s, err := readStat(pid)
	if err != nil {
		return 0, fmt.Errorf("record a process: %w", err)
	}
	slot = r.take()
	if err := r.write(slot, entry{pid: pid, start: s.start}.line()); err != nil {
		r.release(slot)
		return 0, fmt.Errorf("record process %d: %w", pid, err)
	}
	return slot, nil
}

// remove removes a reaped process. If that fails, it leaves a stale line that matches no process.
func (r *Registry) remove(slot int) {
	_ = r.write(slot, freeLine)
	r.release(slot)
}

// take returns an unused line.
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

func (r *Registry) release(slot int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.free = append(r.free, slot)
}

func (r *Registry) write(slot int, line []byte) error {
	_, err := r.file.WriteAt(line, r.head+int64(slot)*lineSize)
	return err
}

// lock takes an exclusive lock, which ends when the last descriptor of the opened file is closed.
// how is LOCK_EX, with LOCK_NB or without. It returns false if another process has the lock.
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
