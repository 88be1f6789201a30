//go:build (!unix && !windows) || aix || solaris

package proc

import (
	"errors"
	"fmt"
	"os"
)

// On systems without Unix process groups this package builds, but starts no process.

type group struct{}

func numbers(files []*os.File) []uintptr { return make([]uintptr, len(files)) }

func (c *Command) isolate(*os.ProcAttr) error {
	return fmt.Errorf("start a process on this system: %w", errors.ErrUnsupported)
}

func (p *Process) adopt() error          { return nil }
func (p *Process) terminateGroup() error { return errors.ErrUnsupported }
func (p *Process) killGroup() error      { return errors.ErrUnsupported }
func (p *Process) reap() Exit            { return newExit(p.leader.Wait()) }

func endSignal(*os.ProcessState) string { return "" }

func groupMemory(int) (int64, error) { return 0, errors.ErrUnsupported }

// Inherited returns the file that this process inherited under a number of [Command.Numbers].
func Inherited(number uintptr, name string) *os.File { return os.NewFile(number, name) }

// IsChild reports whether Start may have started this process with these numbers. On this system it
// always returns true.
func IsChild(...uintptr) bool { return true }

func awaitParentDeath(uintptr) {}

func killSelf() { os.Exit(1) }
