package postgres

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/provost-go/provost/store/internal/sqlstore"
)

const (
	notifyEvery  = 10 * time.Millisecond  // the shortest time between two notifications of work
	notifyLate   = 100 * time.Millisecond // by then a caller's transaction whose commit does not notify should have ended
	notifyWithin = 5 * time.Second        // how long one notification may take
	listenAgain  = 5 * time.Second        // after the connection was lost
)

// notifier notifies other processes of work and of cancellations, and receives their notifications.
// These are hints: where they get lost, as behind PgBouncer in transaction mode, runners poll.
type notifier struct {
	store   *Store
	id      string // of the store
	channel string
	wake    chan struct{}
	last    atomic.Int64 // when others were last notified, in microseconds

	mu    sync.Mutex
	hints sqlstore.Hints // not sent yet
}

// tell is the statement that notifies others. Its arguments are the channel and the message.
const tell = "SELECT pg_notify($1, $2)"

// message is the hints in the form in which they are sent.
type message struct {
	sqlstore.Hints
	By string `json:"by,omitempty"` // ID of the store that has notified its own listeners; "" if none has
}

// maxLanes bounds the lanes that a message names: a notification may have 8,000 bytes.
const maxLanes = 100

func (m message) String() string {
	m.Hints = m.Few(maxLanes)
	text, _ := json.Marshal(m) // cannot fail: it has booleans, numbers and strings
	return string(text)
}

func newNotifier(s *Store) *notifier {
	n := &notifier{store: s, id: uuid.NewString(), channel: "provost " + s.schema, wake: make(chan struct{}, 1)}
	if len(n.channel) > maxName {
		n.channel = fmt.Sprintf("provost %x", s.key())
	}
	return n
}

// maxName is the length of the longest name in PostgreSQL, in bytes.
const maxName = 63

// message returns the message for the listeners of other stores.
func (n *notifier) message(h sqlstore.Hints) string { return message{h, n.id}.String() }

// tell has send notify others.
func (n *notifier) tell(h sqlstore.Hints) {
	n.add(h)
	select {
	case n.wake <- struct{}{}:
	default:
	}
}

func (n *notifier) add(h sqlstore.Hints) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.hints.Add(h)
}

// tellWith notifies listeners, the store's own too, of what a transaction of the caller has
// changed. If it is this transaction's turn, its commit notifies. The server does such commits one
// after the other, so the others notify notifyLate later, by which time such short transactions
// have ended.
func (n *notifier) tellWith(t *tx) error {
	h := t.state.Hints() // all lanes: how far claims will be at the commit is unknown
	if !h.Any() {
		return nil
	}
	if n.turn() {
		return t.later(tell, n.channel, message{Hints: h}.String())
	}
	time.AfterFunc(notifyLate, func() {
		sqlstore.Hint(n.store.Store, h)
		n.tell(h)
	})
	return nil
}

// take returns the hints that were not sent yet, and forgets them.
func (n *notifier) take() sqlstore.Hints {
	n.mu.Lock()
	defer n.mu.Unlock()
	h := n.hints
	n.hints = sqlstore.Hints{}
	return h
}

// turn reports whether others may be notified of work now, and if so counts that as done.
func (n *notifier) turn() bool {
	now, last := time.Now().UnixMicro(), n.last.Load()
	return now-last >= notifyEvery.Microseconds() && n.last.CompareAndSwap(last, now)
}

// send notifies others until the store is closed. One notification has all hints since the last.
func (n *notifier) send() {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-n.store.ctx.Done():
			return
		case <-n.wake:
		}
		if h := n.take(); h.Any() {
			n.last.Store(time.Now().UnixMicro())
			ctx, stop := context.WithTimeout(n.store.ctx, notifyWithin)
			if _, err := n.store.pool.Exec(ctx, tell, pgx.QueryExecModeExec, n.channel, n.message(h)); err != nil {
				n.add(h) // for the next time; until then others poll
			}
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

// listen receives notifications until the store is closed.
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

// listenOnce receives notifications until the connection is lost.
func (n *notifier) listenOnce() {
	pooled, err := n.store.pool.Acquire(n.store.ctx)
	if err != nil {
		return
	}
	conn := pooled.Hijack()                // a connection that listens must not go back into the pool
	defer conn.Close(context.Background()) //nolint:errcheck // nothing is under way on it
	if _, err := conn.Exec(n.store.ctx, "LISTEN "+quoted(n.channel)); err != nil {
		return
	}
	sqlstore.Hint(n.store.Store, sqlstore.Hints{Work: true, Cancel: true, All: true}) // notifications sent before are lost
	for {
		told, err := conn.WaitForNotification(n.store.ctx)
		if err != nil {
			return
		}
		var m message
		if err := json.Unmarshal([]byte(told.Payload), &m); err != nil || m.By == n.id {
			continue // of another program, or the store's own
		}
		sqlstore.Hint(n.store.Store, m.Hints)
	}
}

// quoted returns a name as an identifier of SQL.
func quoted(name string) string { return `"` + strings.ReplaceAll(name, `"`, `""`) + `"` }
