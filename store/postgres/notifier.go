package postgres

import (
	"context"
	"strings"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/provost-go/provost/store/internal/ledger"
)

const (
	notifyEvery  = 10 * time.Millisecond // at most so often is told of work, however much there is
	notifyWithin = 5 * time.Second
	listenAgain  = 5 * time.Second // after the connection was lost
)

// notifier tells other processes of work and of cancellations, and hears of theirs. All of that is a hint: where it fails, as behind
// PgBouncer in transaction mode, runners poll.
type notifier struct {
	store               *Store
	channel             string
	work, early, cancel atomic.Bool
	wake                chan struct{}
	last                atomic.Int64 // when others were told, in microseconds
}

func newNotifier(s *Store) *notifier {
	return &notifier{store: s, channel: "provost " + s.schema, wake: make(chan struct{}, 1)}
}

func (n *notifier) tell(work, early, cancel bool) {
	if work {
		n.work.Store(true)
	}
	if early {
		n.early.Store(true)
	}
	if cancel {
		n.cancel.Store(true)
	}
	select {
	case n.wake <- struct{}{}:
	default:
	}
}

// turn reports whether others may be told of work now, and takes it that they are.
func (n *notifier) turn() bool {
	now, last := time.Now().UnixMicro(), n.last.Load()
	return now-last >= notifyEvery.Microseconds() && n.last.CompareAndSwap(last, now)
}

// send tells what has happened since the last time, all in one.
func (n *notifier) send() {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-n.store.ctx.Done():
			return
		case <-n.wake:
		}
		var words []string
		if n.work.Swap(false) {
			words = append(words, "work")
		}
		if n.early.Swap(false) {
			words = append(words, "early")
		}
		if n.cancel.Swap(false) {
			words = append(words, "cancel")
		}
		if len(words) > 0 {
			n.last.Store(time.Now().UnixMicro())
			ctx, stop := context.WithTimeout(n.store.ctx, notifyWithin)
			_, _ = n.store.pool.Exec(ctx, "SELECT pg_notify($1, $2)", pgx.QueryExecModeExec, n.channel, strings.Join(words, " ")) // who is not told polls
			stop()
		}
		timer.Reset(notifyEvery)
		select {
		case <-n.store.ctx.Done():
			return
		case <-timer.C:
		}
	}
}

// listen hears of others until the store is closed.
func (n *notifier) listen() {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		n.listenOnce()
		timer.Reset(listenAgain)
		select {
		case <-n.store.ctx.Done():
			return
		case <-timer.C:
		}
	}
}

func (n *notifier) listenOnce() {
	pooled, err := n.store.pool.Acquire(n.store.ctx)
	if err != nil {
		return
	}
	conn := pooled.Hijack()                // it listens: nobody else should get it
	defer conn.Close(context.Background()) //nolint:errcheck // nothing is under way on it
	if _, err := conn.Exec(n.store.ctx, "LISTEN "+quoted(n.channel)); err != nil {
		return
	}
	ledger.Hint(n.store.Ledger, true, true, true) // what was told before is gone
	for {
		told, err := conn.WaitForNotification(n.store.ctx)
		if err != nil {
			return
		}
		has := func(word string) bool { return strings.Contains(told.Payload, word) }
		ledger.Hint(n.store.Ledger, has("work"), has("early"), has("cancel"))
	}
}

func quoted(name string) string { return `"` + strings.ReplaceAll(name, `"`, `""`) + `"` }
