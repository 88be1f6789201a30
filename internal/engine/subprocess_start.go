package engine

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/provost-go/provost/internal/proc"
	"github.com/provost-go/provost/internal/rpc"
)

// startTimeout is for a subprocess to reach Serve or ServeChild.
const startTimeout = 10 * time.Second

// programArgs is the command line of this program, kept because main may change os.Args.
var programArgs = slices.Clone(os.Args)

// start starts this program as a subprocess. The subprocess may not be ready for a run yet.
func (p *subprocessPool) start() (*subprocess, error) {
	sp, err := p.startProcess()
	if err != nil {
		return nil, fmt.Errorf("start a subprocess: %w", err)
	}
	return sp, nil
}

func (p *subprocessPool) startProcess() (*subprocess, error) {
	path, err := proc.Executable()
	if err != nil {
		return nil, err
	}
	death, err := proc.ParentDeath()
	if err != nil {
		return nil, err
	}
	// Each pipe is its end for reading and its end for writing.
	var toProcess, fromProcess, stdout, stderr [2]*os.File
	var opened [][2]*os.File
	for _, pipe := range []*[2]*os.File{&toProcess, &fromProcess, &stdout, &stderr} {
		if pipe[0], pipe[1], err = os.Pipe(); err != nil {
			closeAll(opened)
			return nil, err
		}
		opened = append(opened, *pipe)
	}
	sp := &subprocess{
		pool: p, nonce: rand.Text(),
		ready: make(chan struct{}), messages: make(chan rpc.Frame, maxMessages), drained: make(chan struct{}, 2), done: make(chan struct{}),
	}
	command := proc.Command{
		Path: path, Args: programArgs, Stdout: stdout[1], Stderr: stderr[1],
		Files: []*os.File{toProcess[0], fromProcess[1], death}, Registry: p.registry,
	}
	command.Env = append(os.Environ(), subprocessVariable+"="+formatVariable(command.Numbers(), sp.nonce))
	sp.process, err = proc.Start(command)
	if err != nil {
		closeAll(opened)
		return nil, err
	}
	replaced := !proc.StillExecutable(path) // after path was looked up
	for _, theirs := range []*os.File{toProcess[0], fromProcess[1], stdout[1], stderr[1]} {
		_ = theirs.Close() // they belong to the subprocess now
	}
	sp.pipes = &pipes{in: fromProcess[0], out: toProcess[1]}
	sp.conn = rpc.NewConn(sp.pipes)
	mark := []byte(strings.TrimSuffix(outputMark(sp.nonce), "\n"))
	sp.stdout = &outputStream{sp: sp, file: stdout[0], mark: mark}
	sp.stderr = &outputStream{sp: sp, file: stderr[0], mark: mark}
	p.mu.Lock()
	p.all[sp] = struct{}{}
	closed := p.closed
	p.mu.Unlock()
	p.goroutines.Go(sp.run)
	if closed || replaced {
		sp.kill()
	}
	if replaced {
		<-sp.done
		return nil, errors.New("it " + otherBuild)
	}
	return sp, nil
}

// closeAll closes both ends of pipes to which nothing was written.
func closeAll(pipes [][2]*os.File) {
	for _, pipe := range pipes {
		_ = pipe[0].Close()
		_ = pipe[1].Close()
	}
}

// otherBuild is a predicate: its subject is "it" or "the subprocess".
const otherBuild = "is another build of this program: the executable was replaced; restart the runner"

// awaitReady waits until the subprocess is ready for a run. It returns why the subprocess never
// will be, or the error of ctx.
func (sp *subprocess) awaitReady(ctx context.Context) error {
	timeout := time.NewTimer(startTimeout)
	defer timeout.Stop()
	select {
	case <-sp.ready:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	case <-sp.done:
		return sp.startError(false)
	case <-timeout.C:
		sp.kill()
		<-sp.done
		return sp.startError(true)
	}
}

// startError returns why a subprocess that has ended was never ready for a run. late means that it
// was killed because it took too long.
func (sp *subprocess) startError(late bool) error {
	switch {
	case late:
		return fmt.Errorf("the subprocess did not reach %s within %v; %s%s", serveFunctions, startTimeout, startAdvice, sp.startOutput())
	case sp.fault != nil:
		return fmt.Errorf("the subprocess was refused: %w", sp.fault)
	default:
		return fmt.Errorf("the subprocess %s before it reached %s; %s%s", sp.exitText(), serveFunctions, startAdvice, sp.startOutput())
	}
}

const (
	serveFunctions = "provost.ServeChild or provost.Serve"
	startAdvice    = "a subprocess is this program started again, so call provost.ServeChild with all deployments first thing in main, " +
		"before it binds ports, takes locks or waits"
)

// startOutput returns a sentence that quotes the end of what the subprocess wrote to its standard
// error while it had no run; "" if it wrote nothing.
func (sp *subprocess) startOutput() string {
	text := sp.stderr.tailText()
	if text == "" {
		return ""
	}
	return ". Its standard error ended with: " + text
}
