package postgres

import (
	"context"
	"encoding/json"
	"strings"
	"sync"
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
	store   *Store
	channel string
	wake    chan struct{}
	last    atomic.Int64 // when others were told, in microseconds

	mu    sync.Mutex
	hints ledger.Hints // that nobody was told yet
}

// tell is the statement that tells others: of a channel, and of hints.
const tell = "SELECT pg_notify($1, $2)"

// payload is hints as they are sent. They fit: a notification takes 8,000 bytes.
func payload(h ledger.Hints) string {
	text, _ := json.Marshal(h) // it is made of booleans and numbers
	return string(text)
}

func newNotifier(s *Store) *notifier {
	return &notifier{store: s, channel: "provost " + s.schema, wake: make(chan struct{}, 1)}
}

func (n *notifier) tell(h ledger.Hints) {
	n.mu.Lock()
	n.hints.Add(h)
	n.mu.Unlock()
	select {
	case n.wake <- struct{}{}:
	default:
	}
}

// take gives what nobody was told yet.
func (n *notifier) take() ledger.Hints {
	n.mu.Lock()
	defer n.mu.Unlock()
	h := n.hints
	n.hints = ledger.Hints{}
	return h
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
		n.last.Store(time.Now().UnixMicro())
		ctx, stop := context.WithTimeout(n.store.ctx, notifyWithin)
		_, _ = n.store.pool.Exec(ctx, tell, pgx.QueryExecModeExec, n.channel, payload(n.take())) // who is not told polls
		stop()
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
	all := ledger.Hints{Work: true, Cancel: true, All: true}
	ledger.Hint(n.store.Ledger, all) // what was told before is gone
	for {
		told, err := conn.WaitForNotification(n.store.ctx)
		if err != nil {
			return
		}
		var hints ledger.Hints
		if err := json.Unmarshal([]byte(told.Payload), &hints); err != nil {
			hints = all // somebody else's, or of another version
		}
		ledger.Hint(n.store.Ledger, hints)
	}
}

func quoted(name string) string { return `"` + strings.ReplaceAll(name, `"`, `""`) + `"` }
