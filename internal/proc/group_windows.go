package proc

import (
	"errors"
	"fmt"
	"os"
	"syscall"
	"unsafe"
)

// group is a job object that holds the leader and the processes that the leader starts. They end
// when the last handle of the job is closed; this process has it. What the leader starts in its
// first moments, before it is in the job, is not in the job.
type group struct {
	job syscall.Handle
}

var (
	kernel32            = syscall.NewLazyDLL("kernel32.dll")
	createJob           = kernel32.NewProc("CreateJobObjectW")
	setJobInformation   = kernel32.NewProc("SetInformationJobObject")
	assignProcessToJob  = kernel32.NewProc("AssignProcessToJobObject")
	terminateJob        = kernel32.NewProc("TerminateJobObject")
	killedExitCode      = uintptr(1)
	extendedLimitClass  = uintptr(9)     // JobObjectExtendedLimitInformation
	killOnJobCloseLimit = uint32(0x2000) // JOB_OBJECT_LIMIT_KILL_ON_JOB_CLOSE
)

// extendedLimits is JOBOBJECT_EXTENDED_LIMIT_INFORMATION.
type extendedLimits struct {
	perProcessUserTime, perJobUserTime int64
	flags                              uint32
	minWorkingSet, maxWorkingSet       uintptr
	activeProcesses                    uint32
	affinity                           uintptr
	priorityClass, schedulingClass     uint32
	io                                 [6]uint64
	processMemory, jobMemory           uintptr
	peakProcessMemory, peakJobMemory   uintptr
}

// numbers returns the handles themselves: a process inherits them under the same numbers.
func numbers(files []*os.File) []uintptr {
	n := make([]uintptr, len(files))
	for i, f := range files {
		n[i] = f.Fd()
	}
	return n
}

// isolate makes the process inherit the files. They stay inheritable in this process, but Go lists
// what a process inherits, so only code outside Go could pass them on.
func (c *Command) isolate(a *os.ProcAttr) error {
	a.Sys = &syscall.SysProcAttr{CreationFlags: syscall.CREATE_NEW_PROCESS_GROUP}
	for _, number := range c.Numbers() {
		handle := syscall.Handle(number)
		if err := syscall.SetHandleInformation(handle, syscall.HANDLE_FLAG_INHERIT, syscall.HANDLE_FLAG_INHERIT); err != nil {
			return os.NewSyscallError("SetHandleInformation", err)
		}
		a.Sys.AdditionalInheritedHandles = append(a.Sys.AdditionalInheritedHandles, handle)
	}
	return nil
}

// adopt puts the leader into a job of its own.
func (p *Process) adopt() error {
	job, _, err := createJob.Call(0, 0)
	if job == 0 {
		return os.NewSyscallError("CreateJobObject", err)
	}
	limits := extendedLimits{flags: killOnJobCloseLimit}
	ok, _, err := setJobInformation.Call(job, extendedLimitClass, uintptr(unsafe.Pointer(&limits)), unsafe.Sizeof(limits))
	if ok == 0 {
		_ = syscall.CloseHandle(syscall.Handle(job))
		return os.NewSyscallError("SetInformationJobObject", err)
	}
	handleErr := p.leader.WithHandle(func(leader uintptr) { ok, _, err = assignProcessToJob.Call(job, leader) })
	if handleErr != nil || ok == 0 {
		_ = syscall.CloseHandle(syscall.Handle(job))
		if handleErr != nil {
			return fmt.Errorf("handle of process %d: %w", p.Pid(), handleErr)
		}
		return os.NewSyscallError("AssignProcessToJobObject", err)
	}
	p.group.job = syscall.Handle(job)
	return nil
}

func (p *Process) terminateGroup() error {
	return fmt.Errorf("terminate process %d: %w", p.Pid(), errors.ErrUnsupported)
}

// killGroup is called with mu held, before the job is closed.
func (p *Process) killGroup() error {
	if ok, _, err := terminateJob.Call(uintptr(p.group.job), killedExitCode); ok == 0 {
		return os.NewSyscallError("TerminateJobObject", err)
	}
	return nil
}

// reap ends the job when its leader has ended.
func (p *Process) reap() Exit {
	state, err := p.leader.Wait()
	p.mu.Lock()
	defer p.mu.Unlock()
	_ = p.killGroup() // closing the job kills too
	_ = syscall.CloseHandle(p.group.job)
	p.reaped = true
	return newExit(state, err)
}

func endSignal(*os.ProcessState) string { return "" }

func groupMemory(int) (int64, error) {
	return 0, fmt.Errorf("memory of a process group: %w", errors.ErrUnsupported)
}
