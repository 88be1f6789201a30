package postgres

import "time"

// NoteClock is what a measurement of the server's clock does.
func (s *Store) NoteClock(ahead, took time.Duration) { s.noteClock(ahead, took) }

// Ahead is how far the server's clock counts as ahead.
func (s *Store) Ahead() time.Duration { return (*database)(s).Ahead() }
