package proc_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/provost-go/provost/internal/proc"
)

// BenchmarkStart starts this binary and waits for its end, in several ways. It reports the median
// time of the whole and of the start alone.
func BenchmarkStart(b *testing.B) {
	command := roleCommand(b, "hello")
	b.Run("os/exec", func(b *testing.B) {
		measure(b, func() func() {
			c := exec.Command(command.Path)
			c.Env, c.Stderr = command.Env, command.Stderr
			if err := c.Start(); err != nil {
				b.Fatal(err)
			}
			return func() { c.Wait() }
		})
	})
	b.Run("os.StartProcess", func(b *testing.B) {
		measure(b, func() func() {
			p, err := os.StartProcess(command.Path, []string{command.Path}, &os.ProcAttr{
				Env: command.Env, Files: []*os.File{nil, nil, command.Stderr},
			})
			if err != nil {
				b.Fatal(err)
			}
			return func() { p.Wait() }
		})
	})
	b.Run("proc", func(b *testing.B) { measure(b, startOfCommand(b, command)) })
	b.Run("proc registered", func(b *testing.B) {
		r, err := proc.OpenRegistry(filepath.Join(b.TempDir(), "registry"))
		if err != nil {
			b.Skip(err)
		}
		defer r.Close()
		command := command
		command.Registry = r
		measure(b, startOfCommand(b, command))
	})
}

func startOfCommand(b *testing.B, c proc.Command) func() func() {
	return func() func() {
		p, err := proc.Start(c)
		if err != nil {
			b.Fatal(err)
		}
		return func() { p.Wait() }
	}
}

func measure(b *testing.B, start func() (wait func())) {
	var starts, wholes []time.Duration
	for b.Loop() {
		began := time.Now()
		wait := start()
		starts = append(starts, time.Since(began))
		wait()
		wholes = append(wholes, time.Since(began))
	}
	reportMedian(b, starts, "start-p50-µs")
	reportMedian(b, wholes, "whole-p50-µs")
}

func reportMedian(b *testing.B, list []time.Duration, unit string) {
	slices.Sort(list)
	b.ReportMetric(float64(list[len(list)/2].Nanoseconds())/1e3, unit)
}

// BenchmarkMemory measures Memory, which reads the entry of every process of the machine.
func BenchmarkMemory(b *testing.B) {
	read, write, err := os.Pipe()
	if err != nil {
		b.Fatal(err)
	}
	defer write.Close()
	c := roleCommand(b, "echo", "3", "4")
	c.Files = []*os.File{read, os.Stderr}
	p := start(b, c)
	read.Close()
	for b.Loop() {
		if _, err := p.Memory(); err != nil {
			b.Skip(err)
		}
	}
}
