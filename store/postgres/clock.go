package postgres

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
)

const (
	// clocksAgree is the difference up to which two clocks count as equal. A measurement is no more
	// precise than a round trip to the server, and leases are longer.
	clocksAgree  = 200 * time.Millisecond
	measureEvery = time.Minute
)

// Ahead implements [sqlstore.Clock].
func (d *database) Ahead() time.Duration { return time.Duration(d.ahead.Load()) }

// watchClock measures the server's clock until the store is closed, as either clock may be set.
func (s *Store) watchClock() {
	timer := time.NewTicker(measureEvery)
	defer timer.Stop()
	for {
		select {
		case <-s.ctx.Done():
			return
		case <-timer.C:
		}
		ctx, cancel := context.WithTimeout(s.ctx, notifyWithin)
		_ = s.measureClock(ctx) // if it fails, the last measurement stays valid
		cancel()
	}
}

// measureClock measures how far the server's clock is ahead of this machine's.
func (s *Store) measureClock(ctx context.Context) error {
	began := time.Now()
	var server int64
	err := s.pool.QueryRow(ctx, "SELECT (extract(epoch FROM clock_timestamp()) * 1000000)::bigint", pgx.QueryExecModeExec).Scan(&server)
	if err != nil {
		return fmt.Errorf("read the clock of the server: %w", err)
	}
	way := time.Since(began)
	s.noteClock(time.UnixMicro(server).Sub(began.Add(way/2)), way)
	return nil
}

// noteClock stores a measurement, unless it took too long to be precise, or differs too little from
// the last. Clocks that agree are stored as 0, however long the measurement took.
func (s *Store) noteClock(ahead, took time.Duration) {
	if ahead.Abs() < clocksAgree {
		ahead = 0
	}
	if change := ahead - time.Duration(s.ahead.Load()); took < clocksAgree && change.Abs() >= clocksAgree || ahead == 0 {
		s.ahead.Store(int64(ahead))
	}
}
