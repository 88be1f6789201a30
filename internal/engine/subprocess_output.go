package engine

import (
	"bytes"
	"context"
	"log/slog"
	"os"
	"sync"
)

// childStream is what a child process, and what it started, writes to its standard output or error. Lines between two marks
// belong to the run that the child has then; others are start-up and what is left of earlier runs.
type outputStream struct {
	child *subprocess
	file  *os.File
	mark  []byte

	inside bool   // a run's mark was seen
	line   []byte // at most maxLogLine bytes of the line under way
	length int    // of the line so far
	end    []byte // the last bytes of a line that is longer, for the mark

	// mu guards tail: the last that was written outside of runs.
	mu   sync.Mutex
	tail []byte
}

// maxTail is how much of a failed start's output goes into a message.
const maxTail = 2 << 10

// outputMark is what a child writes before and after each run. No other process knows the nonce.
func outputMark(nonce string) string { return "\x00provost " + nonce + "\x00\n" }

// read reads until the last process that holds the stream has ended.
func (s *outputStream) read() {
	buffer := make([]byte, 16<<10)
	for {
		n, err := s.file.Read(buffer)
		s.take(buffer[:n])
		if err != nil { // the end, or closed because a process outside of the group holds it
			if s.length > 0 {
				s.endLine()
			}
			return
		}
	}
}

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

func (s *outputStream) add(part []byte) {
	s.length += len(part)
	room := maxLogLine - len(s.line)
	s.line = append(s.line, part[:min(room, len(part))]...)
	if s.length > maxLogLine {
		s.end = append(s.end, part[max(0, len(part)-len(s.mark)):]...)
		s.end = s.end[max(0, len(s.end)-len(s.mark)):]
	}
}

func (s *outputStream) endLine() {
	line, completion := s.line, s.line
	if s.length > maxLogLine {
		completion = s.end
		if len(completion) < len(s.mark) { // the mark may have begun before the bound
			completion = append(bytes.Clone(line[len(line)-len(s.mark):]), completion...)
		}
	}
	marked := bytes.HasSuffix(completion, s.mark)
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
			case s.child.drained <- struct{}{}:
			default: // there is room for both streams: this mark is no honest one
			}
		}
	}
	s.line, s.end, s.length = s.line[:0], s.end[:0], 0
}

// emit logs a line of the run as Logger(ctx) would.
func (s *outputStream) emit(line []byte) {
	x := s.child.current.Load()
	if !s.inside || x == nil {
		s.mu.Lock()
		s.tail = append(append(s.tail, line...), '\n')
		s.tail = s.tail[max(0, len(s.tail)-maxTail):]
		s.mu.Unlock()
		return
	}
	r := slog.NewRecord(x.executor.now(), slog.LevelInfo, string(line), 0)
	_ = x.Logger().Handler().Handle(context.Background(), r) // as slog.Logger does
}

func (s *outputStream) lastWords() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return string(bytes.TrimSpace(s.tail))
}
