package proc

import (
	"fmt"
	"os"
	"sync"
)

// parentDeath is the pipe whose only write end this process holds, until it dies: one for all processes that it starts.
var parentDeath struct {
	mu          sync.Mutex
	read, write *os.File
}

// ParentDeath is the file to pass to each process in Command.Files, for WatchParent there. It is the same for all; nobody closes it.
func ParentDeath() (*os.File, error) {
	d := &parentDeath
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.read != nil {
		return d.read, nil
	}
	var err error
	if d.read, d.write, err = os.Pipe(); err != nil { // too many open files for now; the next call may do better
		return nil, fmt.Errorf("parent-death pipe: %w", err)
	}
	return d.read, nil
}

// WatchParent kills the group of this process, and so itself, when the process that started it dies. It does not return: it is for
// a goroutine of its own, begun before anything else. The number is that of [ParentDeath] in [Command.Numbers]. A process that is
// not the head of its group kills itself alone.
//
// Should the pipe be lost (closed by other code), nothing would be left to watch: the process ends as if its parent had died.
func WatchParent(number uintptr) {
	awaitParentDeath(number)
	for {
		killSelf()
	}
}
