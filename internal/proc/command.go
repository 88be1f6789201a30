package proc

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"sync"
)

// Command is a process to start. With only Path set, the program gets no arguments, no input, and
// its output is discarded.
type Command struct {
	// Path is the file to execute. It is not searched for in PATH.
	Path string

	// Args is the whole command line; the name of the program is first. Nil means Path alone.
	Args []string

	// Env is the environment, as "key=value" strings; the last value of a key counts. Nil means the
	// environment of this process.
	Env []string

	// Dir is the working directory; "" means that of this process.
	Dir string

	// Stdout and Stderr are where the process writes; nil means the null device. Its standard input
	// is always the null device.
	Stdout, Stderr *os.File

	// Files are open in the process under the numbers that Numbers returns. The caller closes its
	// own copies once Start has returned.
	Files []*os.File

	// Registry records the process until Wait has reaped it, in case it outlives this process. Nil
	// records nothing.
	Registry *Registry
}

// Numbers returns, for each of Files, the number that the process passes to [Inherited] or
// [WatchParent]. Hand it over in the arguments or the environment of the process.
func (c *Command) Numbers() []uintptr { return numbers(c.Files) }

// Start starts a process as the leader of a new process group. The caller must call Wait, or the
// process is never reaped.
//
// Start starts a process even if the registry cannot record it: see [Process.Unrecorded].
func Start(c Command) (*Process, error) {
	null, err := nullDevice()
	if err != nil {
		return nil, fmt.Errorf("start process: %w", err)
	}
	attributes := &os.ProcAttr{
		Dir:   c.Dir,
		Env:   c.environment(),
		Files: []*os.File{null, fileOr(c.Stdout, null), fileOr(c.Stderr, null)},
	}
	if err := c.isolate(attributes); err != nil {
		return nil, fmt.Errorf("start process: %w", err)
	}
	leader, err := os.StartProcess(c.Path, c.arguments(), attributes)
	if err != nil {
		return nil, fmt.Errorf("start process: %w", err)
	}
	p := &Process{leader: leader}
	if err := p.adopt(); err != nil {
		_ = leader.Kill() // it may have exited already
		_, _ = leader.Wait()
		return nil, fmt.Errorf("start process: %w", err)
	}
	p.record(c.Registry)
	return p, nil
}

var null struct {
	mu   sync.Mutex
	file *os.File
}

// nullDevice returns the null device, opened once for all processes and never closed.
func nullDevice() (*os.File, error) {
	null.mu.Lock()
	defer null.mu.Unlock()
	if null.file != nil {
		return null.file, nil
	}
	var err error
	null.file, err = os.OpenFile(os.DevNull, os.O_RDWR, 0) // may fail with too many open files; the next call tries again
	return null.file, err
}

func (c *Command) arguments() []string {
	if c.Args == nil {
		return []string{c.Path}
	}
	return c.Args
}

// environment returns Env with the mark of the registry. That replaces any other mark: a runner may
// itself be a process of another runner. Of several values of a variable it keeps the last one;
// most programs would use the first.
func (c *Command) environment() []string {
	env := c.Env
	if env == nil {
		env = os.Environ()
	}
	env = slices.Clone(env)
	if c.Registry != nil {
		env = append(env, markKey+"="+c.Registry.mark)
	}
	seen := make(map[string]bool, len(env))
	slices.Reverse(env)
	env = slices.DeleteFunc(env, func(e string) bool {
		key, _, _ := strings.Cut(e, "=")
		repeated := seen[key] && key != "" // Windows has variables such as "=C:"
		seen[key] = true
		return repeated
	})
	slices.Reverse(env)
	return env
}

func fileOr(f, fallback *os.File) *os.File {
	if f == nil {
		return fallback
	}
	return f
}
