package proc

import (
	"fmt"
	"os"
	"sync"
)

// parentDeath is a pipe whose only write end this process holds until it dies: one for all
// processes that it starts.
var parentDeath struct {
	mu          sync.Mutex
	read, write *os.File
}

// ParentDeath returns the file to pass to each process in Command.Files, for WatchParent there. It
// is the same file for all; do not close it.
func ParentDeath() (*os.File, error) {
	d := &parentDeath
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.read != nil {
		return d.read, nil
	}
	var err error
	if d.read, d.write, err = os.Pipe(); err != nil { // may fail with too many open files; the next call tries again
		return nil, fmt.Errorf("parent-death pipe: %w", err)
	}
	return d.read, nil
}

// WatchParent kills the group of this process, and so the process itself, when the process that
// started it dies. The number is that of [ParentDeath] in [Command.Numbers]. A process that does
// not lead its group kills only itself.
//
// WatchParent never returns: call it in a goroutine of its own, before anything else. If other code
// closes the pipe, there is nothing left to watch, and the process ends as if its parent had died.
func WatchParent(number uintptr) {
	awaitParentDeath(number)
	for {
		killSelf()
	}
}
