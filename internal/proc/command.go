package proc

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"sync"
)

// Command is a process to start. The zero value but for Path runs a program without arguments that reads and writes nothing.
type Command struct {
	// Path is the file to execute. It is not searched for.
	Path string

	// Args is the whole command line, the name of the program first. Nil is Path alone.
	Args []string

	// Env is the environment, one "key=value" each; the last counts of those with one key. Nil is that of this process.
	Env []string

	// Dir is the working directory. "" is that of this process.
	Dir string

	// Stdout and Stderr are where the process writes. Nil is the null device, as is its input always.
	Stdout, Stderr *os.File

	// Files are open in the process under the numbers that Numbers gives. The caller closes its own copies once Start returned.
	Files []*os.File

	// Registry records the process until Wait has reaped it, for the case that it outlives this one. Nil records nothing.
	Registry *Registry
}

// Numbers gives, for each of Files, the number that the process has to give to [Inherited] or [WatchParent]: it belongs into its
// arguments or its environment.
func (c *Command) Numbers() []uintptr { return numbers(c.Files) }

// Start starts a process at the head of a group of its own. The caller has to call Wait, or the process is never reaped.
//
// A process that cannot be recorded is started nevertheless: see [Process.Unrecorded].
func Start(c Command) (*Process, error) {
	null, err := nullDevice()
	if err != nil {
		return nil, fmt.Errorf("start process: %w", err)
	}
	attributes := &os.ProcAttr{
		Dir:   c.Dir,
		Env:   c.environment(),
		Files: []*os.File{null, firstFile(c.Stdout, null), firstFile(c.Stderr, null)},
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
		_ = leader.Kill() // it may have ended by itself
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

// nullDevice is what processes read that get nothing to read: one for all, that nobody closes.
func nullDevice() (*os.File, error) {
	null.mu.Lock()
	defer null.mu.Unlock()
	if null.file != nil {
		return null.file, nil
	}
	var err error
	null.file, err = os.OpenFile(os.DevNull, os.O_RDWR, 0) // too many open files for now; the next call may do better
	return null.file, err
}

func (c *Command) arguments() []string {
	if c.Args == nil {
		return []string{c.Path}
	}
	return c.Args
}

// environment is Env with the mark of the registry, in the place of any other: a runner may run in a process of another runner. Of
// several values of a variable it keeps the last, where most programs would see the first.
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

func firstFile(f, otherwise *os.File) *os.File {
	if f == nil {
		return otherwise
	}
	return f
}
