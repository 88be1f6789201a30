// Package memory keeps provost's deployments and runs in the memory of the process, and loses them
// with it. Use it for tests, and for work that need not survive the process. provost.NewMemoryStore
// is the short way to [New], and a provost.Runner without a Store makes one of its own.
//
// It is the reference for every other store: where package store leaves a question open, this
// package answers it.
package memory

import (
	"cmp"
	"context"
	"encoding/binary"
	"math"
	"slices"
	"sync"
	"time"

	"github.com/google/uuid"

	"github.com/provost-go/provost/internal/sorted"
	"github.com/provost-go/provost/store"
)

// Store is a [store.Store] in the memory of this process. The zero value is an empty store that is
// ready to use. It is safe for concurrent use and starts no goroutine and no timer.
//
// It bounds what it keeps by itself:
//
//   - finished runs, up to Keep of them;
//   - their logs, while all logs together take less than 64 MiB;
//   - the newest 10,000 skip ranges.
type Store struct {
	// Keep is how many finished runs the store keeps; those that ended first are deleted. 0 stands
	// for 10,000, -1 for no bound. Set it before the store is used.
	Keep int

	// mu guards all that follows. Nothing blocks under it: no channel, no callback, no call out of
	// the store. Hints are collected under it and sent after it.
	mu sync.Mutex

	now      micros             // of the operation under way, where it has one
	newest   micros             // that it was told
	behind   micros             // of the ReapLeases since which every Now was far behind; never otherwise
	promoted int                // how many runs got a slot while they waited, ever
	skipped  []store.SkippedRun // since the newest claim began

	flows       map[uuid.UUID]*store.FlowRecord
	deployments map[uuid.UUID]*deployment
	handles     sorted.Index[*deployment] // by handle
	bereaved    map[uuid.UUID]struct{}    // deployments that were deleted: their index by deployment may lack old runs
	runners     map[uuid.UUID]*runner
	lanes       map[string]*lane
	limits      map[string]*limit
	groups      map[*limit]struct{}          // limits that several deployments share
	plans       sorted.Index[*scheduleState] // schedules of served deployments, by planTime

	runs     map[uuid.UUID]*run
	all      sorted.Index[*run]                      // by ID, as the next three
	states   map[store.StateType]*sorted.Index[*run] // by state
	tags     map[string]*sorted.Index[*run]          // by tag
	children map[uuid.UUID]*sorted.Index[*run]       // by parent
	leases   sorted.Index[*run]                      // claimed runs, by end of lease
	ended    sorted.Index[*run]                      // finished runs, by end
	keys     map[idempotencyKey]*run
	skips    sorted.Index[*skipRange] // by ID
	logSize  int                      // bytes of log text of all runs

	listeners  map[store.TopicKind][]chan<- struct{} // who wants hints of a kind; the slices are replaced, never changed
	watchers   map[uuid.UUID][]chan<- struct{}       // who wants hints of a run; mostly empty, and so cheap to ask
	hints      []chan<- struct{}                     // to be sent after mu is released
	hintWork   bool
	hintCancel bool
}

type idempotencyKey struct {
	deployment uuid.UUID
	key        string
}

const (
	defaultKeep = 10_000
	maxLogTotal = 64 << 20
)

var _ store.Store = (*Store)(nil)

var _ store.Notifier = (*Store)(nil)

var _ store.LocalStore = (*Store)(nil)

// New returns an empty store.
func New() *Store { return &Store{} }

// prepare makes the indexes of a store that is used for the first time. The caller holds mu.
func (m *Store) prepare() {
	if m.runs != nil {
		return
	}
	m.flows = make(map[uuid.UUID]*store.FlowRecord)
	m.deployments = make(map[uuid.UUID]*deployment)
	m.handles = sorted.New(compareHandles)
	m.bereaved = make(map[uuid.UUID]struct{})
	m.runners = make(map[uuid.UUID]*runner)
	m.lanes = make(map[string]*lane)
	m.limits = make(map[string]*limit)
	m.groups = make(map[*limit]struct{})
	m.plans = sorted.New(comparePlanTimes)
	m.runs = make(map[uuid.UUID]*run)
	m.all = sorted.New(compareRunIDs)
	m.states = make(map[store.StateType]*sorted.Index[*run])
	m.tags = make(map[string]*sorted.Index[*run])
	m.children = make(map[uuid.UUID]*sorted.Index[*run])
	m.leases = sorted.New(compareLeases)
	m.behind = never
	m.ended = sorted.New(compareEnds)
	m.keys = make(map[idempotencyKey]*run)
	m.skips = sorted.New(func(a, b *skipRange) int { return compareIDs(a.ID, b.ID) })
	m.listeners = make(map[store.TopicKind][]chan<- struct{})
	m.watchers = make(map[uuid.UUID][]chan<- struct{})
}

// Local implements [store.LocalStore]. It returns true.
func (m *Store) Local() bool { return true }

// lock begins an operation; unlock ends it and sends its hints.
func (m *Store) lock(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return context.Cause(ctx)
	}
	m.mu.Lock()
	m.prepare()
	return nil
}

// lockAt is lock for an operation that decides on time.
func (m *Store) lockAt(ctx context.Context, now time.Time) error {
	err := m.lock(ctx)
	if err == nil {
		m.now = toMicros(now)
		if m.now != never {
			m.newest = max(m.newest, m.now)
		}
		if m.newest-m.now <= maxClockBehind {
			m.behind = never
		}
	}
	return err
}

func (m *Store) unlock() {
	var work, cancel []chan<- struct{}
	if m.hintWork {
		work = m.listeners[store.TopicWork]
	}
	if m.hintCancel {
		cancel = m.listeners[store.TopicCancel]
	}
	runs := m.hints
	m.hintWork, m.hintCancel, m.hints = false, false, nil
	m.mu.Unlock()
	sendHints(work)
	sendHints(cancel)
	sendHints(runs)
}

func sendHints(to []chan<- struct{}) {
	for _, ch := range to {
		select {
		case ch <- struct{}{}:
		default:
		}
	}
}

// Notify implements [store.Notifier].
func (m *Store) Notify(topic store.Topic, ch chan<- struct{}) (stop func()) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.prepare()
	if topic.Run != uuid.Nil {
		return subscribe(&m.mu, m.watchers, topic.Run, ch)
	}
	return subscribe(&m.mu, m.listeners, topic.Kind, ch)
}

// subscribe adds ch under key and returns a function that removes it again. The caller holds mu.
func subscribe[K comparable](mu *sync.Mutex, to map[K][]chan<- struct{}, key K, ch chan<- struct{}) (stop func()) {
	to[key] = append(slices.Clip(to[key]), ch)
	return sync.OnceFunc(func() {
		mu.Lock()
		defer mu.Unlock()
		rest := slices.DeleteFunc(slices.Clone(to[key]), func(other chan<- struct{}) bool { return other == ch })
		if len(rest) == 0 {
			delete(to, key)
		} else {
			to[key] = rest
		}
	})
}

// hintRun notes that a run changed.
func (m *Store) hintRun(id uuid.UUID) { m.hints = append(m.hints, m.watchers[id]...) }

// micros is a time as the indexes hold it: never is the zero time, which sorts after every other.
type micros int64

const never micros = math.MaxInt64

// toMicros returns a time as micros.
func toMicros(t time.Time) micros {
	if t.IsZero() {
		return never
	}
	return micros(t.UnixMicro())
}

func (m micros) time() time.Time {
	if m == never {
		return time.Time{}
	}
	return time.UnixMicro(int64(m)).UTC()
}

// compareIDs is bytes.Compare in two steps: it is what indexes do most.
func compareIDs(a, b uuid.UUID) int {
	x, y := binary.BigEndian.Uint64(a[:8]), binary.BigEndian.Uint64(b[:8])
	if x == y {
		x, y = binary.BigEndian.Uint64(a[8:]), binary.BigEndian.Uint64(b[8:])
	}
	return cmp.Compare(x, y)
}

// at is where an index by ID is kept, made when it is first needed.
func at[K comparable](indexes map[K]*sorted.Index[*run], key K) *sorted.Index[*run] {
	index := indexes[key]
	if index == nil {
		made := sorted.New(compareRunIDs)
		index = &made
		indexes[key] = index
	}
	return index
}

// removeFrom takes a run out of an index by ID, and the index out of its map once it is empty.
func removeFrom[K comparable](indexes map[K]*sorted.Index[*run], key K, r *run) {
	if index := indexes[key]; index != nil {
		index.Delete(r)
		if index.Len() == 0 {
			delete(indexes, key)
		}
	}
}
