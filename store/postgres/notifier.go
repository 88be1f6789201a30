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
	notifyEvery  = 10 * time.Millisecond  // at most so often is told of work, however much there is
	notifyLate   = 100 * time.Millisecond // by then a transaction of the caller's should be over that did not tell by its commit
	notifyWithin = 5 * time.Second
	listenAgain  = 5 * time.Second // after the connection was lost
)

// notifier tells other processes of work and of cancellations, and hears of theirs. All of that is a hint: where it fails, as behind
// PgBouncer in transaction mode, runners poll.
type notifier struct {
	store   *Store
	id      string // of the store
	channel string
	wake    chan struct{}
	last    atomic.Int64 // when others were told, in microseconds

	mu    sync.Mutex
	hints sqlstore.Hints // that nobody was told yet
}

// tell is the statement that tells others: a channel, and a message.
const tell = "SELECT pg_notify($1, $2)"

// message is hints as they are sent.
type message struct {
	sqlstore.Hints
	By string `json:"by,omitempty"` // the store that has told its own listeners; "": none has
}

// maxLanes is how many lanes a message names at most: a notification takes 8,000 bytes.
const maxLanes = 100

func (m message) String() string {
	m.Hints = m.Few(maxLanes)
	text, _ := json.Marshal(m) // it is made of booleans, numbers and strings
	return string(text)
}

func newNotifier(s *Store) *notifier {
	n := &notifier{store: s, id: uuid.NewString(), channel: "provost " + s.schema, wake: make(chan struct{}, 1)}
	if len(n.channel) > maxName {
		n.channel = fmt.Sprintf("provost %x", s.key())
	}
	return n
}

// maxName is how long PostgreSQL's names are at most, in bytes.
const maxName = 63

// message is what listeners of other stores are told.
func (n *notifier) message(h sqlstore.Hints) string { return message{h, n.id}.String() }

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

// tellWith tells others, and the store's own, of what a transaction of the caller's has changed, by its commit. Of many one does that: the
// server has such commits one after the other. For the rest it is told a little later: such transactions are short.
func (n *notifier) tellWith(t *tx) error {
	h := t.state.Hints() // all lanes: nobody knows how far claims are by the time of the commit
	if !h.Any() {
		return nil
	}
	if n.turn() {
		return t.later(tell, n.channel, message{Hints: h}.String())
	}
	time.AfterFunc(notifyLate, func() {
		sqlstore.Hint(n.store.Ledger, h)
		n.tell(h)
	})
	return nil
}

// take gives what nobody was told yet.
func (n *notifier) take() sqlstore.Hints {
	n.mu.Lock()
	defer n.mu.Unlock()
	h := n.hints
	n.hints = sqlstore.Hints{}
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
		if h := n.take(); h.Any() {
			n.last.Store(time.Now().UnixMicro())
			ctx, stop := context.WithTimeout(n.store.ctx, notifyWithin)
			if _, err := n.store.pool.Exec(ctx, tell, pgx.QueryExecModeExec, n.channel, n.message(h)); err != nil {
				n.add(h) // for the next time: until then who is not told polls
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
	sqlstore.Hint(n.store.Ledger, sqlstore.Hints{Work: true, Cancel: true, All: true}) // what was told before is gone
	for {
		told, err := conn.WaitForNotification(n.store.ctx)
		if err != nil {
			return
		}
		var m message
		if err := json.Unmarshal([]byte(told.Payload), &m); err != nil || m.By == n.id {
			continue // it is somebody else's, or the store's own
		}
		sqlstore.Hint(n.store.Ledger, m.Hints)
	}
}

func quoted(name string) string { return `"` + strings.ReplaceAll(name, `"`, `""`) + `"` }
