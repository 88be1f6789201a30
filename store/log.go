package store

import (
	"log/slog"
	"time"

	"github.com/google/uuid"
)

// AppendLogsParams holds the parameters of [LogStore].AppendLogs.
type AppendLogsParams struct {
	Runs []RunLog
}

// RunLog is a part of one run's log, written under its lease; that of a child run under its
// parent's token. A writer sends one part at a time, and sends it again if it does not know whether
// it arrived.
type RunLog struct {
	Lease
	After   int64       // lines sent under this lease before these; those the store never got count as dropped
	Lines   []LogRecord // the store fills in RunID and Seq
	Dropped int64       // lines that were lost under this lease so far and never sent
}

// LogRecord is one line of a run's log. It round-trips JSON.
type LogRecord struct {
	RunID   uuid.UUID  `json:"run_id"`
	Seq     int64      `json:"seq"` // 1 for the first line of the run
	Time    time.Time  `json:"time"`
	Level   slog.Level `json:"level"`
	Message string     `json:"message"` // with the attributes, in slog's text format
}

// LogPage is a part of a run's log. The next page begins after the Seq of the last line.
type LogPage struct {
	Lines   []LogRecord
	More    bool // there are lines after the last one
	Dropped int  // lines of the run that are not kept
}
