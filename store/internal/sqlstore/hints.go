package sqlstore

import (
	"maps"
	"sync"
	"time"

	"github.com/google/uuid"

	"github.com/provost-go/provost/store"
)

// Hints are what a transaction has changed, for those who wait for changes.
type Hints struct {
	Work   bool `json:"work,omitempty"`   // something may be claimable, now or later
	Cancel bool `json:"cancel,omitempty"` // a run is to be cancelled
	All    bool `json:"all,omitempty"`    // the work may be anywhere, in any lane

	// Lanes are the lanes in which runs were queued or moved, with the time from which the first of
	// these is claimable. It is nil with All.
	Lanes map[int64]micros `json:"lanes,omitempty"`

	runs []uuid.UUID // runs that have changed
}

// anywhere hints at work without a place.
func (h *Hints) anywhere() { h.Work, h.All, h.Lanes = true, true, nil }

// queued hints at a run that is claimable in a lane from a time on.
func (h *Hints) queued(lane int64, from micros) {
	if h.All {
		return
	}
	if h.Lanes == nil {
		h.Lanes = make(map[int64]micros)
	}
	if first, known := h.Lanes[lane]; !known || from < first {
		h.Lanes[lane] = from
	}
}

// Add adds other hints, except those of runs.
func (h *Hints) Add(more Hints) {
	h.Work, h.Cancel = h.Work || more.Work, h.Cancel || more.Cancel
	if more.All {
		h.anywhere()
	}
	for lane, from := range more.Lanes {
		h.queued(lane, from)
	}
}

// early leaves out the lanes where claims look anyway, wherever they begin.
func (h *Hints) early(now micros) {
	maps.DeleteFunc(h.Lanes, func(_ int64, from micros) bool { return from >= now-toSpan(usual) })
}

// Few returns the hints with at most a number of lanes: if there are more, with All.
func (h Hints) Few(lanes int) Hints {
	if len(h.Lanes) > lanes {
		h.anywhere()
	}
	return h
}

// Any reports whether there is anything to notify others of.
func (h Hints) Any() bool { return h.Work || h.Cancel }

// Broadcaster is a DB that can notify other processes. Broadcast does not block.
type Broadcaster interface {
	Broadcast(Hints)
}

// Hint notifies those who wait in this process of what another process has changed.
func Hint(l *Store, h Hints) {
	l.floors.lower(&h)
	l.mu.Lock()
	defer l.mu.Unlock()
	l.send(&h)
}

// committed notifies those who wait once a transaction is committed, or may be. told reports that
// its commit has notified other processes of the work.
func (l *Store) committed(b *book, told bool) {
	h := b.hints
	l.floors.lower(&h)
	l.mu.Lock()
	defer l.mu.Unlock()
	if b.suspect != nil {
		l.suspect.Store(int64(*b.suspect))
	}
	l.send(&h)
	h.early(b.now + toSpan(time.Since(b.called)))
	if told && !h.All && len(h.Lanes) == 0 {
		h.Work = false
	}
	if broadcaster, ok := l.db.(Broadcaster); ok && h.Any() {
		broadcaster.Broadcast(h)
	}
}

// Notify implements [store.Notifier]. It notifies of changes that are made through this store, or
// passed to [Hint]; others are found by polling.
func (l *Store) Notify(topic store.Topic, ch chan<- struct{}) (stop func()) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.listeners[topic] = append(l.listeners[topic], ch)
	return sync.OnceFunc(func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		var rest []chan<- struct{}
		for _, other := range l.listeners[topic] {
			if other != ch {
				rest = append(rest, other)
			}
		}
		if l.listeners[topic] = rest; rest == nil {
			delete(l.listeners, topic)
		}
	})
}

// send is called under mu.
func (l *Store) send(h *Hints) {
	if len(l.listeners) == 0 {
		return
	}
	if h.Work {
		l.hint(store.Topic{Kind: store.TopicWork})
	}
	if h.Cancel {
		l.hint(store.Topic{Kind: store.TopicCancel})
	}
	for _, id := range h.runs {
		l.hint(store.Topic{Run: id})
	}
}

// hint is called under mu.
func (l *Store) hint(topic store.Topic) {
	for _, ch := range l.listeners[topic] {
		select {
		case ch <- struct{}{}:
		default:
		}
	}
}
