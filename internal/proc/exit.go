package proc

import (
	"fmt"
	"os"
	"time"
)

// Exit is how a process ended.
type Exit struct {
	// Code is the exit code; -1 if a signal ended the process.
	Code int

	// Signal is the signal that ended the process, in the words of the system ("killed",
	// "segmentation fault"); "" if it exited.
	Signal string

	// PeakMemory is the most memory that the leader ever used, in bytes; 0 if unknown. On Linux it
	// is known only if it is above the peak of the process that started it, which a new process
	// inherits.
	PeakMemory int64

	// User and System are the processor time of the leader and of the processes that it started and
	// waited for.
	User, System time.Duration

	// Err is why nothing else is known: other code has reaped the process.
	Err error
}

// Success reports whether the process exited with code 0.
func (e Exit) Success() bool { return e.Err == nil && e.Signal == "" && e.Code == 0 }

// String returns a text such as "exit code 3" or "signal: killed, peak memory 812 MiB".
func (e Exit) String() string {
	var text string
	switch {
	case e.Err != nil:
		return fmt.Sprintf("end unknown: %v", e.Err)
	case e.Signal != "":
		text = "signal: " + e.Signal
	default:
		text = fmt.Sprintf("exit code %d", e.Code)
	}
	if e.PeakMemory > 0 {
		text += fmt.Sprintf(", peak memory %d MiB", e.PeakMemory>>20)
	}
	return text
}

// newExit returns the Exit for what os.Process.Wait returned.
func newExit(state *os.ProcessState, err error) Exit {
	if err != nil {
		return Exit{Code: -1, Err: err}
	}
	return Exit{Code: state.ExitCode(), Signal: endSignal(state), User: state.UserTime(), System: state.SystemTime()}
}
