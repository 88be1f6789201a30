package postgres

import (
	"context"
	"time"

	"github.com/provost-go/provost/store/internal/sqlstore"
)

// NoteClock is what a measurement of the server's clock does.
func (s *Store) NoteClock(ahead, took time.Duration) { s.noteClock(ahead, took) }

// Ahead is how far the server's clock counts as ahead.
func (s *Store) Ahead() time.Duration { return (*database)(s).Ahead() }

// Transact executes do in a transaction.
func (s *Store) Transact(ctx context.Context, do func(sqlstore.Tx) error) error {
	return (*database)(s).Write(ctx, sqlstore.Common, do)
}
