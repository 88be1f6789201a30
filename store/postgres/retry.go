package postgres

import (
	"context"
	"errors"
	"math/rand/v2"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
)

// The codes of errors after which an operation is done again. A unique violation is among them: a
// row that an operation has found missing may have been inserted meanwhile, and the next time it is
// found.
const (
	serializationFailure = "40001"
	deadlockDetected     = "40P01"
	uniqueViolation      = "23505"
	lockNotAvailable     = "55P03"
	preparedDuplicate    = "42P05"
	preparedMissing      = "26000"
)

// divisionByZero is the error of a query that did not find what [tx.Assert] assumed.
const divisionByZero = "22012"

// maxConflicts bounds how often an operation is done again after a conflict. More conflicts mean
// that something is wrong.
const maxConflicts = 20

// retry does an operation until it meets no conflict with a concurrent one.
func (s *Store) retry(ctx context.Context, do func() error) error {
	for conflicts, refusals := 0, 0; ; {
		plain := s.plain.Load()
		err := do()
		switch code := sqlState(err); {
		case isLost(code):
			if plain { // else it began before another operation set s.plain
				return err
			}
			s.plain.Store(true)
		case code == lockNotAvailable: // the holder may take long, and others should get in meanwhile
			refusals = min(refusals+1, lockWaits)
			if !pause(ctx, 4*int(lockWait.Milliseconds())<<(refusals-1)) { // the average, in milliseconds
				return err
			}
		case code == serializationFailure, code == deadlockDetected, code == uniqueViolation:
			if conflicts++; conflicts == maxConflicts || !pause(ctx, conflicts) {
				return err
			}
		default:
			return err
		}
	}
}

// isLost reports whether a code means that statements are prepared on other connections than they
// are used on.
func isLost(code string) bool { return code == preparedDuplicate || code == preparedMissing }

// sqlState returns the code of an error of PostgreSQL, "" for any other.
func sqlState(err error) string {
	if e, ok := errors.AsType[*pgconn.PgError](err); ok {
		return e.Code
	}
	return ""
}

// pause waits for a random time, longer after each conflict, so that two operations do not meet
// again. It returns false if ctx ends first.
func pause(ctx context.Context, conflicts int) bool {
	timer := time.NewTimer(rand.N(time.Duration(conflicts) * 2 * time.Millisecond))
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}
