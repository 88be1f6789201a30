package proc

import (
	"fmt"
	"os"
	"time"
)

// Exit is how a process ended.
type Exit struct {
	// Code is the exit code, -1 of a process that a signal ended.
	Code int

	// Signal is what ended the process, in the words of the system ("killed", "segmentation fault"); "" if it ended by itself.
	Signal string

	// PeakMemory is the most memory the leader ever had in use, in bytes; 0 if that is not known. On Linux it is known only where it
	// is above the peak of the process that started it, which a new process inherits.
	PeakMemory int64

	// User and System are the processor time of the leader, and of those of its children that it waited for.
	User, System time.Duration

	// Err is why nothing else is known: somebody else has reaped the process.
	Err error
}

// Success reports whether the process ended by itself, with code 0.
func (e Exit) Success() bool { return e.Err == nil && e.Signal == "" && e.Code == 0 }

// String is for people: "exit code 3", "signal: killed, peak memory 812 MiB".
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

// newExit reads what Wait gave.
func newExit(state *os.ProcessState, err error) Exit {
	if err != nil {
		return Exit{Code: -1, Err: err}
	}
	return Exit{Code: state.ExitCode(), Signal: endSignal(state), User: state.UserTime(), System: state.SystemTime()}
}
