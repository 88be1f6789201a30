package postgres

import (
	"context"
	"time"

	"github.com/provost-go/provost/store/internal/sqlstore"
)

// NoteClock stores a measurement of the server's clock.
func (s *Store) NoteClock(ahead, took time.Duration) { s.noteClock(ahead, took) }

// Ahead returns how far the server's clock counts as ahead.
func (s *Store) Ahead() time.Duration { return (*database)(s).Ahead() }

// Transact executes do in a transaction.
func (s *Store) Transact(ctx context.Context, do func(sqlstore.Tx) error) error {
	return (*database)(s).Write(ctx, sqlstore.Common, do)
}
