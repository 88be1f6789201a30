package sqlstore

import (
	"maps"
	"sync"
	"time"

	"github.com/google/uuid"
	"github.com/provost-go/provost/store"
)

// Hints are what has changed, for those who wait for it.
type Hints struct {
	Work   bool `json:"work,omitempty"`   // something may be claimable, now or later
	Cancel bool `json:"cancel,omitempty"` // a run is to be cancelled
	All    bool `json:"all,omitempty"`    // the work may be anywhere in any lane

	// Lanes are those in which runs were queued, or changed where they wait, with the time since
	// when the first of these is claimable. They are not named beside All.
	Lanes map[int64]micros `json:"lanes,omitempty"`

	runs []uuid.UUID // that have changed
}

// anywhere hints at work of which it is not said where it is.
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

// Add puts hints together, but those of runs.
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

// Few names no more than so many lanes.
func (h Hints) Few(lanes int) Hints {
	if len(h.Lanes) > lanes {
		h.anywhere()
	}
	return h
}

// Any reports whether there is something to tell.
func (h Hints) Any() bool { return h.Work || h.Cancel }

// Teller is a DB that tells other processes. It does not block.
type Teller interface {
	Tell(Hints)
}

// Hint passes on what another process has told.
func Hint(l *Ledger, h Hints) {
	l.floors.lower(&h)
	l.mu.Lock()
	defer l.mu.Unlock()
	l.send(&h)
}

// committed does what is left once a transaction is there, or may be. Told says that other
// processes know of the work.
func (l *Ledger) committed(b *book, told bool) {
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
	if teller, ok := l.db.(Teller); ok && h.Any() {
		teller.Tell(h)
	}
}

// Notify implements [provost.Notifier], for changes that come through this sqlstore. Those of other
// processes are found by polling.
func (l *Ledger) Notify(topic store.Topic, ch chan<- struct{}) (stop func()) {
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
func (l *Ledger) send(h *Hints) {
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
func (l *Ledger) hint(topic store.Topic) {
	for _, ch := range l.listeners[topic] {
		select {
		case ch <- struct{}{}:
		default:
		}
	}
}
