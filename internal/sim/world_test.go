package sim

import (
	"context"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/google/uuid"

	"github.com/provost-go/provost"
	"github.com/provost-go/provost/internal/clock"
	"github.com/provost-go/provost/internal/engine"
	"github.com/provost-go/provost/store"
	"github.com/provost-go/provost/store/memory"
)

// world is one simulation: production code in virtual time, with faults, times and data from a
// seed.
type world struct {
	seed    uint64
	rand    *rand.Rand // of the operator
	history *history
	memory  *memory.Store
	store   store.Store // memory, or a mutant around it
	offset  atomic.Int64

	config      config
	deployments []*deployment
	seats       []*seat
	operator    *gate
	client      *provost.Client
	log         *runnerLog
	gates       []*gate // all that were ever made
	gatesMu     sync.Mutex
	closing     atomic.Bool
	calm        atomic.Bool // no more faults
	flooded     bool        // there are too many runs to check
	hurry       atomic.Bool // functions take at most hurriedLength
	build       atomic.Int64
	lives       sync.WaitGroup
	late        sync.WaitGroup
	storms      []storm
	draw        func(seat, life int) func(call string) fault // draws the faults of a runner
	began       time.Time
}

// config is the configuration of a world.
type config struct {
	view     view
	runners  int
	leaseTTL time.Duration
	poll     time.Duration
	limit    int
	shutdown time.Duration // ShutdownTimeout
	pauses   bool          // PauseOnShutdown
	length   time.Duration // of the time with faults
	base     float64       // how likely a call has a fault at any time
	jumps    bool
	late     bool // duplicate calls may arrive late
}

// view is which of the store's optional abilities runners see.
type view uint8

const (
	remoteView   view = iota // none: they poll
	notifiedView             // notifications: they poll too
	localView                // all: they do not poll
)

// storm is a span of time in which more calls have faults.
type storm struct {
	from, until time.Duration
	seat        int // -1: all
	rate        float64
	kinds       []faultKind
}

func newConfig(r *rand.Rand) config {
	c := config{
		view: pick(r, remoteView, remoteView, remoteView, notifiedView, localView), runners: 1 + r.IntN(5),
		leaseTTL: pick(r, 2*time.Second, 5*time.Second, 10*time.Second, 30*time.Second),
		poll:     pick(r, 500*time.Millisecond, time.Second, 2*time.Second),
		limit:    pick(r, 0, 0, 0, 2, -1),
		shutdown: pick(r, 0, time.Second, 5*time.Second),
		pauses:   chance(r, 0.1),
		length:   time.Duration(1+r.IntN(3)) * time.Minute,
		base:     pick(r, 0, 0, 0.01, 0.05, 0.2),
		jumps:    chance(r, 0.25), late: chance(r, 0.2),
	}
	if c.view == localView { // a store inside the process does not fail by itself
		c.base = 0
	}
	return c
}

// newWorld draws the world of a seed. A defect, if any, wraps its store.
func newWorld(seed uint64, defect func(*memory.Store) store.Store) *world {
	r := rand.New(rand.NewPCG(seed, 1))
	w := newEmptyWorld(seed, r, newConfig(r), defect)
	w.deployments = newDeployments(r, w.now())
	w.draw = w.drawer
	if w.config.view != localView {
		w.drawStorms()
	}
	return w
}

// newEmptyWorld returns a world without deployments and faults.
func newEmptyWorld(seed uint64, r *rand.Rand, c config, defect func(*memory.Store) store.Store) *world {
	w := &world{
		seed: seed, rand: r, history: &history{began: time.Now()}, memory: memory.New(), config: c,
		began: time.Now(), log: &runnerLog{counts: make(map[logKey]int)},
	}
	w.memory.Keep = -1
	w.store = w.memory
	if defect != nil {
		w.store = defect(w.memory)
	}
	w.operator = w.newGate("operator", func(string) fault { return fault{} })
	w.client = provost.NewClient(w.operator)
	for i := range w.config.runners {
		w.seats = append(w.seats, &seat{world: w, index: i})
	}
	return w
}

// now returns the time on the wall clock of the machine that all runners and clients share.
func (w *world) now() time.Time {
	return time.Now().Round(0).Add(time.Duration(w.offset.Load()))
}

func (w *world) drawStorms() {
	for range w.rand.IntN(4) {
		s := storm{
			from: upTo(w.rand, w.config.length), seat: w.rand.IntN(len(w.seats)+1) - 1,
			rate: pick(w.rand, 0.1, 0.3, 0.6, 1),
		}
		s.until = s.from + upTo(w.rand, 40*time.Second)
		for range 1 + w.rand.IntN(3) {
			s.kinds = append(s.kinds, faultKind(1+w.rand.IntN(int(faultKinds)-1)))
		}
		w.storms = append(w.storms, s)
	}
}

// newGate returns the store as one process sees it.
func (w *world) newGate(who string, draw func(string) fault) *gate {
	g := &gate{inner: w.store, history: w.history, who: who, draw: draw, dead: make(chan struct{}), late: &w.late}
	w.gatesMu.Lock()
	defer w.gatesMu.Unlock()
	w.gates = append(w.gates, g)
	return g
}

// drawer returns a function that draws the faults of one runner's calls. The gate calls it with its
// lock held.
func (w *world) drawer(seatIndex, lifeIndex int) func(string) fault {
	r := rand.New(rand.NewPCG(w.seed, uint64(1000+100*seatIndex+lifeIndex)))
	return func(call string) fault {
		if w.calm.Load() {
			return fault{}
		}
		f := w.drawFault(r, seatIndex)
		switch f.kind {
		case slowBefore, slowAfter:
			f.delay = upTo(r, pick(r, 50*time.Millisecond, 3*time.Second, 15*time.Second)) + time.Microsecond
		case hangBefore, hangAfter, hangLate:
			f.delay = time.Hour
		case twiceLate:
			if f.delay = upTo(r, 8*time.Second); !w.config.late || !mayComeLate(call) {
				f = fault{kind: twice}
			}
		}
		return f
	}
}

func (w *world) drawFault(r *rand.Rand, seatIndex int) fault {
	at := time.Since(w.began)
	for _, s := range w.storms {
		if at >= s.from && at < s.until && (s.seat == -1 || s.seat == seatIndex) && chance(r, s.rate) {
			return fault{kind: pick(r, s.kinds...)}
		}
	}
	if chance(r, w.config.base) {
		return fault{kind: faultKind(1 + r.IntN(int(faultKinds)-1))}
	}
	return fault{}
}

// mayComeLate reports whether a network may deliver a call again after later calls of the same
// runner.
func mayComeLate(call string) bool {
	return slices.Contains([]string{"ClaimRuns", "SettleRuns", "ReapLeases", "PlanRuns", "AppendLogs"}, call)
}

// seat is a place for a runner, which has one life after another.
type seat struct {
	world *world
	index int

	// mu guards the fields below.
	mu    sync.Mutex
	lives int
	life  *life // nil while the seat is empty
}

// life is one Serve call.
type life struct {
	gate *gate
	stop context.CancelFunc
}

// start starts a runner, unless the seat has one.
func (s *seat) start() {
	s.mu.Lock()
	defer s.mu.Unlock()
	w := s.world
	if s.life != nil || w.closing.Load() {
		return
	}
	g := w.newGate(fmt.Sprintf("r%d.%d", s.index, s.lives), w.draw(s.index, s.lives))
	s.lives++
	ctx, stop := context.WithCancel(clock.With(context.Background(), s.world.now))
	l := &life{gate: g, stop: stop}
	s.life = l
	w.lives.Go(func() {
		err := w.serve(ctx, g)
		stop()
		select {
		case <-g.dead:
			return
		default:
		}
		w.history.add(entry{who: g.who, call: endedEvent{err}})
		if s.leave(l) { // it returned on its own, for example because it could not register: start it again
			time.Sleep(time.Second)
			s.start()
		}
	})
}

func (w *world) serve(ctx context.Context, g *gate) error {
	c := w.config
	runner := &provost.Runner{
		Name: g.who, Limit: c.limit, PollInterval: c.poll, LeaseTTL: c.leaseTTL, ShutdownTimeout: c.shutdown, PauseOnShutdown: c.pauses,
		Logger: slog.New(logHandler{w.log, g.who, ""}),
	}
	switch c.view {
	case remoteView:
		runner.Store = remoteGate{g}
	case notifiedView:
		runner.Store = notifiedGate{g}
	case localView:
		runner.Store = localGate{g}
	}
	w.history.add(entry{who: g.who, call: servedEvent{}})
	var deployments []*provost.Deployment
	for _, d := range w.deployments {
		deployments = append(deployments, d.declare(int(w.build.Load()), w, g))
	}
	return runner.Serve(ctx, deployments...)
}

// leave empties the seat if l still has it.
func (s *seat) leave(l *life) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.life != l {
		return false
	}
	s.life = nil
	return true
}

// take empties the seat. It returns the life that had it, or nil.
func (s *seat) take() *life {
	s.mu.Lock()
	defer s.mu.Unlock()
	l := s.life
	s.life = nil
	return l
}

// gate returns the gate of the current life, or nil.
func (s *seat) gate() *gate {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.life == nil {
		return nil
	}
	return s.life.gate
}

// crash ends the current life like kill -9.
func (s *seat) crash() {
	if l := s.take(); l != nil {
		s.world.history.add(entry{who: l.gate.who, call: crashedEvent{}})
		close(l.gate.dead)
		l.stop()
	}
}

// shut shuts the current runner down.
func (s *seat) shut() {
	if l := s.take(); l != nil {
		l.stop()
	}
}

// ids returns the IDs of up to a page of runs in the given states.
func (w *world) ids(ctx context.Context, states ...store.StateType) []uuid.UUID {
	page, err := w.client.ListRuns(ctx, store.RunFilter{States: states, Limit: store.MaxPage})
	if err != nil {
		return nil
	}
	var ids []uuid.UUID
	for _, run := range page.Items {
		ids = append(ids, run.ID)
	}
	return ids
}

// runnerLog counts the lines that runners log.
type runnerLog struct {
	mu     sync.Mutex
	counts map[logKey]int
	lost   int // lines of runs' logs that runners reported as lost
}

type logKey struct {
	who, message string
	minute       int64
}

type logHandler struct {
	log     *runnerLog
	who     string
	subject string
}

// perRun are the messages about losses of single runs: there may be as many as there are losses.
var perRun = []string{
	"leases not renewed in time: their runs are told to stop", engine.LinesLost,
	"leases lost: their runs are told to stop, and what becomes of them is not stored",
	"lease lost", "run lost its runner", "end of a run not stored", "end of a child run not stored", "run not begun: its start could not be stored", "instants skipped",
	"runs skipped",
}

func (h logHandler) Enabled(_ context.Context, level slog.Level) bool {
	return level >= slog.LevelWarn
}

func (h logHandler) Handle(_ context.Context, r slog.Record) error {
	if r.Message == engine.LinesLost {
		r.Attrs(func(a slog.Attr) bool {
			if a.Key == "lines" {
				h.log.mu.Lock()
				defer h.log.mu.Unlock()
				h.log.lost += int(a.Value.Int64())
			}
			return true
		})
	}
	if slices.Contains(perRun, r.Message) {
		return nil
	}
	key := logKey{who: h.who, message: r.Message, minute: r.Time.Unix() / 60}
	r.Attrs(func(a slog.Attr) bool {
		if a.Key == "operation" {
			key.message += " " + a.Value.String()
		}
		return true
	})
	h.log.mu.Lock()
	defer h.log.mu.Unlock()
	h.log.counts[key]++
	return nil
}

func (h logHandler) WithAttrs([]slog.Attr) slog.Handler { return h }

func (h logHandler) WithGroup(string) slog.Handler { return h }
