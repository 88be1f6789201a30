package engine

import (
	"bytes"
	"context"
	"log/slog"
	"os"
	"sync"
)

// outputStream is what a subprocess, and everything that it started, writes to its standard output
// or its standard error. Lines between two marks belong to the run that the subprocess then
// executes. Other lines are from its start or left over from earlier runs.
type outputStream struct {
	sp   *subprocess
	file *os.File
	mark []byte // without its newline

	inside bool   // between the two marks of a run
	line   []byte // at most maxLogLine bytes of the current line
	length int    // of the whole current line so far
	end    []byte // the last bytes of a line that is longer than maxLogLine, to find the mark in

	// mu guards tail, the last output outside of runs.
	mu   sync.Mutex
	tail []byte
}

// maxTail bounds the output that the error of a failed start quotes.
const maxTail = 2 << 10

// outputMark returns the line that a subprocess writes before and after each run. No other process
// knows the nonce.
func outputMark(nonce string) string { return "\x00provost " + nonce + "\x00\n" }

// read reads until every process that holds the stream has ended.
func (s *outputStream) read() {
	buffer := make([]byte, 16<<10)
	for {
		n, err := s.file.Read(buffer)
		s.take(buffer[:n])
		if err != nil { // the end, or the file was closed because a process outside of the group holds the pipe
			if s.length > 0 {
				s.endLine()
			}
			return
		}
	}
}

// take takes the next part of the output.
func (s *outputStream) take(text []byte) {
	for {
		before, after, found := bytes.Cut(text, []byte("\n"))
		s.add(before)
		if !found {
			return
		}
		s.endLine()
		text = after
	}
}

// add appends to the current line.
func (s *outputStream) add(part []byte) {
	s.length += len(part)
	room := maxLogLine - len(s.line)
	s.line = append(s.line, part[:min(room, len(part))]...)
	if s.length > maxLogLine {
		s.end = append(s.end, part[max(0, len(part)-len(s.mark)):]...)
		s.end = s.end[max(0, len(s.end)-len(s.mark)):]
	}
}

// endLine handles the current line, which is complete, and begins the next one.
func (s *outputStream) endLine() {
	line, end := s.line, s.line
	if s.length > maxLogLine {
		end = s.end
		if len(end) < len(s.mark) { // the mark may begin before the bound
			end = append(bytes.Clone(line[len(line)-len(s.mark):]), end...)
		}
	}
	marked := bytes.HasSuffix(end, s.mark)
	if marked {
		line = line[:min(len(line), s.length-len(s.mark))]
	}
	if !marked || len(line) > 0 {
		s.emit(bytes.TrimSuffix(line, []byte("\r")))
	}
	if marked {
		s.inside = !s.inside
		if !s.inside {
			select {
			case s.sp.drained <- struct{}{}:
			default: // it has room for the marks of both streams: the flow has forged this one
			}
		}
	}
	s.line, s.end, s.length = s.line[:0], s.end[:0], 0
}

// emit logs a line of the run as Logger(ctx) would, and keeps any other line for tail.
func (s *outputStream) emit(line []byte) {
	x := s.sp.current.Load()
	if !s.inside || x == nil {
		s.mu.Lock()
		s.tail = append(append(s.tail, line...), '\n')
		s.tail = s.tail[max(0, len(s.tail)-maxTail):]
		s.mu.Unlock()
		return
	}
	r := slog.NewRecord(x.executor.now(), slog.LevelInfo, string(line), 0)
	_ = x.Logger().Handler().Handle(context.Background(), r) // slog.Logger ignores the error too
}

// tailText returns the last output outside of runs.
func (s *outputStream) tailText() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return string(bytes.TrimSpace(s.tail))
}
