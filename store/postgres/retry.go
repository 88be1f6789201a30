package postgres

import (
	"context"
	"errors"
	"math/rand/v2"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
)

// Codes of errors that say: do it again. A unique violation is among them, as what an operation has found missing may have come to be
// meanwhile: the next time it finds it.
const (
	serializationFailure = "40001"
	deadlockDetected     = "40P01"
	uniqueViolation      = "23505"
	lockNotAvailable     = "55P03"
	preparedDuplicate    = "42P05"
	preparedMissing      = "26000"
)

// divisionByZero is what a wrong supposition gives.
const divisionByZero = "22012"

// maxConflicts bounds how often an operation is done again for one that came between: more often there is something wrong.
const maxConflicts = 20

// retry does an operation until it meets nothing that another has done at the same time.
func (s *Store) retry(ctx context.Context, do func() error) error {
	for conflicts, refusals := 0, 0; ; {
		plain := s.plain.Load()
		err := do()
		switch code := sqlState(err); {
		case isLost(code):
			if plain { // else it began before the first that met this had said so
				return err
			}
			s.plain.Store(true)
		case code == lockNotAvailable: // who has it may take long, and others should come in between
			refusals = min(refusals+1, lockWaits)
			if !pause(ctx, 4*int(lockWait.Milliseconds())<<(refusals-1)) { // so many milliseconds on average
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

// isLost tells that statements are prepared on other connections than they are used on.
func isLost(code string) bool { return code == preparedDuplicate || code == preparedMissing }

func sqlState(err error) string {
	if e, ok := errors.AsType[*pgconn.PgError](err); ok {
		return e.Code
	}
	return ""
}

// pause waits a little, more after each conflict and at random, so that two do not meet again.
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
