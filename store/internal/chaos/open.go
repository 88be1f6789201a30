//go:build unix

package chaos

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"testing"
)

// OpenAtOnce starts n processes at once, each of which opens the store at a place and closes it.
func OpenAtOnce(t *testing.T, where string, n int) {
	t.Helper()
	processes := make([]*exec.Cmd, n)
	said := make([]bytes.Buffer, n)
	for i := range processes {
		processes[i] = exec.CommandContext(t.Context(), os.Args[0])
		processes[i].Env = append(os.Environ(), whereVariable+"="+where, opensVariable+"=1")
		processes[i].Stderr = &said[i]
		if err := processes[i].Start(); err != nil {
			t.Fatal(err)
		}
	}
	for i, p := range processes {
		if err := p.Wait(); err != nil {
			t.Errorf("process %d: %v\n%s", i, err, &said[i])
		}
	}
}

// opens is what such a process does. It returns the exit code.
func opens(ctx context.Context, open Open, where string) (code int) {
	_, closeStore, err := open(ctx, where)
	if err == nil {
		err = closeStore()
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return 0
}
