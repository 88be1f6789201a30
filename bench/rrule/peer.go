package rrule

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"sync"
	"time"
)

// Outcome is the result of comparing a peer with the oracle.
type Outcome string

// The outcomes.
const (
	Agrees  Outcome = "agrees"
	Answers Outcome = "answers" // with other instants
	Refuses Outcome = "refuses"
	Hangs   Outcome = "hangs"
)

// Peer is an independent implementation, run as a process that answers each line with a line. A
// process that does not answer in time is killed and started again for the next rule.
type Peer struct {
	Name    string
	command []string
	dir     string
	process *process
}

// Answer is the answer of a peer for a rule.
type Answer struct {
	Instants []time.Time `json:"instants"`
	Refused  string      `json:"refused"`
	hangs    bool
}

// Outcome compares the answer with the instants of the oracle.
func (a Answer) Outcome(want []time.Time) Outcome {
	switch {
	case a.hangs:
		return Hangs
	case a.Refused != "":
		return Refuses
	case slices.EqualFunc(a.Instants, want, time.Time.Equal):
		return Agrees
	default:
		return Answers
	}
}

// answerTimeout is how long an answer may take. On an idle machine the slowest take two seconds.
const answerTimeout = 20 * time.Second

// Peers returns all peers. dir is the directory of this package, which has their programs; build
// products go to work.
func Peers(dir, work string) []*Peer {
	binary := filepath.Join(work, "rrulego")
	return []*Peer{
		{Name: "rrule-go", dir: dir, command: []string{"sh", "-c", `go build -o "$0" ./rrulego && exec "$0"`, binary}},
		{Name: "dateutil", dir: dir, command: []string{"python3", "oracle_dateutil.py"}},
		{Name: "ical.js", dir: dir, command: []string{"node", "oracle_ical.mjs"}},
	}
}

// Start starts the process and checks that it answers.
func (p *Peer) Start() error {
	process, err := startProcess(p.dir, p.command)
	if err != nil {
		return fmt.Errorf("%s: %w", p.Name, err)
	}
	p.process = process
	if _, err := p.process.ask(Rule{Text: "FREQ=DAILY", N: 1}, time.Minute); err != nil {
		return errors.Join(fmt.Errorf("%s: %w", p.Name, err), p.Close())
	}
	return nil
}

// Ask returns the answer for a rule.
func (p *Peer) Ask(r Rule) (Answer, error) {
	answer, err := p.process.ask(r, answerTimeout)
	if errors.Is(err, errNoAnswer) {
		if err := p.Close(); err != nil {
			return Answer{}, err
		}
		return Answer{hangs: true}, p.Start()
	}
	if err != nil {
		return Answer{}, fmt.Errorf("%s: %s: %w", p.Name, r.Name, err)
	}
	return answer, nil
}

// Close kills the process.
func (p *Peer) Close() error { return p.process.kill() }

// process is a running program and the lines that it prints.
type process struct {
	command *exec.Cmd
	in      io.WriteCloser
	lines   chan []byte
	stderr  *tail
	wait    func() error
}

func startProcess(dir string, command []string) (*process, error) {
	p := &process{command: exec.Command(command[0], command[1:]...), lines: make(chan []byte), stderr: &tail{}}
	p.wait = sync.OnceValue(p.command.Wait)
	p.command.Dir = dir
	p.command.Stderr = p.stderr
	var err error
	if p.in, err = p.command.StdinPipe(); err != nil {
		return nil, err
	}
	out, err := p.command.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := p.command.Start(); err != nil {
		return nil, err
	}
	go func() {
		defer close(p.lines)
		for in := bufio.NewReader(out); ; {
			line, err := in.ReadBytes('\n')
			if err != nil {
				return // the program ended; ask reports it
			}
			p.lines <- line
		}
	}()
	return p, nil
}

var errNoAnswer = errors.New("no answer in time")

func (p *process) ask(r Rule, timeout time.Duration) (Answer, error) {
	request := struct {
		Text string `json:"text"`
		Zone string `json:"zone"`
		N    int    `json:"n"`
	}{r.Text, r.Zone, r.N}
	if err := json.NewEncoder(p.in).Encode(request); err != nil {
		err = errors.Join(err, p.kill())
		return Answer{}, fmt.Errorf("%w; its standard error ends with: %s", err, p.stderr)
	}
	select {
	case line, ok := <-p.lines:
		if !ok {
			err := p.kill()
			return Answer{}, errors.Join(fmt.Errorf("ended; its standard error ends with: %s", p.stderr), err)
		}
		var answer Answer
		err := json.Unmarshal(line, &answer)
		return answer, err
	case <-time.After(timeout):
		return Answer{}, errNoAnswer
	}
}

// kill kills the program, which may have ended by itself, and waits for it.
func (p *process) kill() error {
	if err := p.command.Process.Kill(); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return err
	}
	for range p.lines { // until the reader has ended
	}
	var exit *exec.ExitError
	if err := p.wait(); err != nil && !errors.As(err, &exit) {
		return err
	}
	return nil
}

// tail keeps the end of what is written to it.
type tail struct{ text []byte }

func (t *tail) Write(p []byte) (int, error) {
	t.text = append(t.text, p...)
	t.text = t.text[max(0, len(t.text)-2000):]
	return len(p), nil
}

func (t *tail) String() string { return string(t.text) }
