//go:build (!unix && !windows) || aix || solaris

package proc

import (
	"errors"
	"fmt"
	"os"
)

// Systems without process groups of the usual kind build, and start none.

type group struct{}

func numbers(files []*os.File) []uintptr { return make([]uintptr, len(files)) }

func (c *Command) isolate(*os.ProcAttr) error {
	return fmt.Errorf("processes on this system: %w", errors.ErrUnsupported)
}

func (p *Process) adopt() error          { return nil }
func (p *Process) terminateGroup() error { return errors.ErrUnsupported }
func (p *Process) killGroup() error      { return errors.ErrUnsupported }
func (p *Process) reap() Exit            { return newExit(p.leader.Wait()) }

func endSignal(*os.ProcessState) string { return "" }

func groupMemory(int) (int64, error) { return 0, errors.ErrUnsupported }

// Inherited is the file that this process got under a number of [Command.Numbers].
func Inherited(number uintptr, name string) *os.File { return os.NewFile(number, name) }

// IsChild reports whether this process may be one that Start started with these numbers; here it is not known better.
func IsChild(...uintptr) bool { return true }

func awaitParentDeath(uintptr) {}

func killSelf() { os.Exit(1) }
