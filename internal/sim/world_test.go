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

// simWorld is a simulation: production code in virtual time, with faults, times and data from a seed.
type simWorld struct {
	seed    uint64
	rand    *rand.Rand // of who plays the operator
	history *simHistory
	memory  *memory.Store
	store   store.Store // memory, perhaps behind a defect
	offset  atomic.Int64

	config      simConfig
	deployments []*simDeployment
	seats       []*simSeat
	operator    *simGate
	client      *provost.Client
	log         *simLog
	gates       []*simGate // every one there was
	gatesMu     sync.Mutex
	closing     atomic.Bool
	calm        atomic.Bool // no more faults
	flooded     bool        // more runs than there is any use in checking
	hurry       atomic.Bool // functions take hardly any time
	build       atomic.Int64
	lives       sync.WaitGroup
	late        sync.WaitGroup
	storms      []simStorm
	draw        func(seat, life int) func(call string) simFault // the faults of a runner
	began       time.Time
}

// simConfig is what kind of world it is.
type simConfig struct {
	view     simView
	runners  int
	leaseTTL time.Duration
	poll     time.Duration
	limit    int
	shutdown time.Duration // ShutdownTimeout
	pauses   bool          // PauseOnShutdown
	length   time.Duration // of the time with faults
	base     float64       // how likely a call suffers a fault at any time
	jumps    bool
	late     bool // duplicates may arrive late
}

// simView is how much of the store's abilities runners see.
type simView uint8

const (
	simRemote simView = iota // polled
	simHinted                // polled, with hints
	simLocal                 // not polled
)

// simStorm is a time in which more calls suffer.
type simStorm struct {
	from, until time.Duration
	seat        int // -1: all
	rate        float64
	kinds       []simFaultKind
}

func newSimConfig(r *rand.Rand) simConfig {
	c := simConfig{
		view: pick(r, simRemote, simRemote, simRemote, simHinted, simLocal), runners: 1 + r.IntN(5),
		leaseTTL: pick(r, 2*time.Second, 5*time.Second, 10*time.Second, 30*time.Second),
		poll:     pick(r, 500*time.Millisecond, time.Second, 2*time.Second),
		limit:    pick(r, 0, 0, 0, 2, -1),
		shutdown: pick(r, 0, time.Second, 5*time.Second),
		pauses:   chance(r, 0.1),
		length:   time.Duration(1+r.IntN(3)) * time.Minute,
		base:     pick(r, 0, 0, 0.01, 0.05, 0.2),
		jumps:    chance(r, 0.25), late: chance(r, 0.2),
	}
	if c.view == simLocal { // a store that lives and dies with its process does not fail by itself
		c.base = 0
	}
	return c
}

// newSimWorld draws a world.
func newSimWorld(seed uint64, defect func(*memory.Store) store.Store) *simWorld {
	r := rand.New(rand.NewPCG(seed, 1))
	w := emptySimWorld(seed, r, newSimConfig(r), defect)
	w.deployments = newSimDeployments(r, w.now())
	w.draw = w.drawer
	if w.config.view != simLocal {
		w.drawStorms()
	}
	return w
}

func emptySimWorld(seed uint64, r *rand.Rand, config simConfig, defect func(*memory.Store) store.Store) *simWorld {
	w := &simWorld{
		seed: seed, rand: r, history: &simHistory{began: time.Now()}, memory: memory.New(), config: config,
		began: time.Now(), log: &simLog{counts: make(map[simLogKey]int)},
	}
	w.memory.Keep = -1
	w.store = w.memory
	if defect != nil {
		w.store = defect(w.memory)
	}
	w.operator = w.newGate("operator", func(string) simFault { return simFault{} })
	w.client = provost.NewClient(w.operator)
	for i := range w.config.runners {
		w.seats = append(w.seats, &simSeat{world: w, index: i})
	}
	return w
}

// now is the wall clock of the machine that all runners and clients are on.
func (w *simWorld) now() time.Time {
	return time.Now().Round(0).Add(time.Duration(w.offset.Load()))
}

func (w *simWorld) drawStorms() {
	for range w.rand.IntN(4) {
		s := simStorm{
			from: upTo(w.rand, w.config.length), seat: w.rand.IntN(len(w.seats)+1) - 1,
			rate: pick(w.rand, 0.1, 0.3, 0.6, 1),
		}
		s.until = s.from + upTo(w.rand, 40*time.Second)
		for range 1 + w.rand.IntN(3) {
			s.kinds = append(s.kinds, simFaultKind(1+w.rand.IntN(int(simFaultKinds)-1)))
		}
		w.storms = append(w.storms, s)
	}
}

// newGate is the store for one process.
func (w *simWorld) newGate(who string, draw func(string) simFault) *simGate {
	g := &simGate{inner: w.store, history: w.history, who: who, draw: draw, dead: make(chan struct{}), late: &w.late}
	w.gatesMu.Lock()
	defer w.gatesMu.Unlock()
	w.gates = append(w.gates, g)
	return g
}

// drawer gives the faults of one runner's calls. It is called under the gate's lock.
func (w *simWorld) drawer(seat, life int) func(string) simFault {
	r := rand.New(rand.NewPCG(w.seed, uint64(1000+100*seat+life)))
	return func(call string) simFault {
		if w.calm.Load() {
			return simFault{}
		}
		f := w.drawFault(r, seat)
		switch f.kind {
		case slowBefore, slowAfter:
			f.delay = upTo(r, pick(r, 50*time.Millisecond, 3*time.Second, 15*time.Second)) + time.Microsecond
		case hangBefore, hangAfter, hangLate:
			f.delay = time.Hour
		case twiceLate:
			if f.delay = upTo(r, 8*time.Second); !w.config.late || !mayComeLate(call) {
				f = simFault{kind: twice}
			}
		}
		return f
	}
}

func (w *simWorld) drawFault(r *rand.Rand, seat int) simFault {
	at := time.Since(w.began)
	for _, s := range w.storms {
		if at >= s.from && at < s.until && (s.seat == -1 || s.seat == seat) && chance(r, s.rate) {
			return simFault{kind: pick(r, s.kinds...)}
		}
	}
	if chance(r, w.config.base) {
		return simFault{kind: simFaultKind(1 + r.IntN(int(simFaultKinds)-1))}
	}
	return simFault{}
}

// mayComeLate says which calls a network may deliver again after others of the same runner.
func mayComeLate(call string) bool {
	return slices.Contains([]string{"ClaimRuns", "SettleRuns", "ReapLeases", "PlanRuns", "AppendLogs"}, call)
}

// simSeat is a place where a runner runs: one life after the other.
type simSeat struct {
	world *simWorld
	index int

	// mu guards what follows.
	mu    sync.Mutex
	lives int
	life  *simLife // nil while the seat is empty
}

// simLife is one Serve call.
type simLife struct {
	gate *simGate
	stop context.CancelFunc
}

// start begins a life, unless the seat has one.
func (s *simSeat) start() {
	s.mu.Lock()
	defer s.mu.Unlock()
	w := s.world
	if s.life != nil || w.closing.Load() {
		return
	}
	g := w.newGate(fmt.Sprintf("r%d.%d", s.index, s.lives), w.draw(s.index, s.lives))
	s.lives++
	ctx, stop := context.WithCancel(clock.With(context.Background(), s.world.now))
	life := &simLife{gate: g, stop: stop}
	s.life = life
	w.lives.Go(func() {
		err := w.serve(ctx, g)
		stop()
		select {
		case <-g.dead:
			return
		default:
		}
		w.history.add(simRecord{who: g.who, call: simEnded{err}})
		if s.leave(life) { // it ended by itself, as when it could not register: it is started again
			time.Sleep(time.Second)
			s.start()
		}
	})
}

func (w *simWorld) serve(ctx context.Context, g *simGate) error {
	c := w.config
	runner := &provost.Runner{
		Name: g.who, Limit: c.limit, PollInterval: c.poll, LeaseTTL: c.leaseTTL, ShutdownTimeout: c.shutdown, PauseOnShutdown: c.pauses,
		Logger: slog.New(simLogHandler{w.log, g.who, ""}),
	}
	switch c.view {
	case simRemote:
		runner.Store = simHiddenGate{g}
	case simHinted:
		runner.Store = simHintingGate{g}
	case simLocal:
		runner.Store = simLocalGate{g}
	}
	w.history.add(simRecord{who: g.who, call: simServed{}})
	var deployments []*provost.Deployment
	for _, d := range w.deployments {
		deployments = append(deployments, d.declare(int(w.build.Load()), w, g))
	}
	return runner.Serve(ctx, deployments...)
}

// leave empties the seat if that life still has it.
func (s *simSeat) leave(life *simLife) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.life != life {
		return false
	}
	s.life = nil
	return true
}

// take empties the seat and gives the life that had it, nil if none.
func (s *simSeat) take() *simLife {
	s.mu.Lock()
	defer s.mu.Unlock()
	life := s.life
	s.life = nil
	return life
}

// gate is that of the present life, nil if there is none.
func (s *simSeat) gate() *simGate {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.life == nil {
		return nil
	}
	return s.life.gate
}

// crash ends a life without a word.
func (s *simSeat) crash() {
	if life := s.take(); life != nil {
		s.world.history.add(simRecord{who: life.gate.who, call: simCrashed{}})
		close(life.gate.dead)
		life.stop()
	}
}

// shut ends a life in good order.
func (s *simSeat) shut() {
	if life := s.take(); life != nil {
		life.stop()
	}
}

// ids are the runs that a filter finds.
func (w *simWorld) ids(ctx context.Context, states ...store.StateType) []uuid.UUID {
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

// simLog counts the lines of runners.
type simLog struct {
	mu     sync.Mutex
	counts map[simLogKey]int
	lost   int // lines of runs' logs that runners said they had lost
}

type simLogKey struct {
	who, message string
	minute       int64
}

type simLogHandler struct {
	log     *simLog
	who     string
	subject string
}

// perRun are messages that say what runs lost: there may be as many as there are losses.
var perRun = []string{
	"leases not renewed in time: their runs are told to stop", engine.LinesLost,
	"leases lost: their runs are told to stop, and what becomes of them is not stored",
	"lease lost", "run lost its runner", "end of a run not stored", "end of a child run not stored", "run not begun: its start could not be stored", "instants skipped",
	"runs skipped",
}

func (h simLogHandler) Enabled(_ context.Context, level slog.Level) bool {
	return level >= slog.LevelWarn
}

func (h simLogHandler) Handle(_ context.Context, r slog.Record) error {
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
	key := simLogKey{who: h.who, message: r.Message, minute: r.Time.Unix() / 60}
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

func (h simLogHandler) WithAttrs([]slog.Attr) slog.Handler { return h }

func (h simLogHandler) WithGroup(string) slog.Handler { return h }
