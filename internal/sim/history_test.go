package sim

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/google/uuid"

	"github.com/provost-go/provost/store"
)

// history is everything that happened in a simulation, in order: the store calls with the answers
// that the store returned, which may differ from what the caller got, and the events.
type history struct {
	began time.Time

	// mu makes a call and its entry one step.
	mu      sync.Mutex
	entries []entry
}

// entry is a store call or an event.
type entry struct {
	at     time.Duration // virtual time since the simulation began
	who    string        // runner or client
	call   any           // the parameters of the call, or one of the events below
	answer any
	err    error
	fault  string // what went wrong with the call for its caller
}

// The events.
type (
	enteredEvent struct { // a flow's function was called
		store.Lease
		deployment uuid.UUID
		attempt    int
		obeys      bool // it returns as soon as its context ends
	}
	leftEvent struct { // the function returned, panicked or ended its goroutine
		store.Lease
		outcome string
	}
	servedEvent  struct{}                      // Serve was called
	endedEvent   struct{ err error }           // Serve returned
	crashedEvent struct{}                      // a runner died, and its functions with it
	stalledEvent struct{ until time.Duration } // a runner stands still, and its functions too
	cutEvent     struct{ until time.Duration } // a runner's store calls fail
	jumpedEvent  struct{ by time.Duration }    // the wall clock jumped
	calmEvent    struct{}                      // the time with faults ended
	restedEvent  struct{ wall time.Time }      // every deployment is paused for the end
	remarkEvent  struct{ text string }         // a note for the reader
	lostEvent    struct{ call string }         // a call that did not reach the store
	loggedEvent  struct {                      // a flow logged the line of that number
		lease store.Lease
		line  int
	}
)

func (h *history) add(e entry) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.append(e)
}

// append is add with mu held.
func (h *history) append(e entry) {
	e.at = time.Since(h.began)
	h.entries = append(h.entries, e)
}

// recorded makes a store call and appends its entry, in one step.
func recorded[P, A any](h *history, who, faultText string, p P, call func() (A, error)) (A, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	answer, err := call()
	e := entry{who: who, call: p, answer: answer, err: err, fault: faultText}
	if faultText != "" || err != nil || e.matters() {
		h.append(e)
	}
	return answer, err
}

// matters reports whether a call is worth an entry: reads, and claims of nothing, are not.
func (e *entry) matters() bool {
	switch answer := e.answer.(type) {
	case store.ClaimRunsResult:
		return len(answer.Runs) > 0
	case store.DueSchedulesResult:
		return false
	case *store.Run:
		_, read := e.call.(uuid.UUID)
		return !read
	case store.Page[*store.Run], store.Page[*store.DeploymentRecord], *store.DeploymentRecord, store.Page[store.Skip], store.LogPage:
		_, pause := e.call.(store.SetPauseParams)
		return pause
	}
	return true
}

// text returns the last entries as text.
func (h *history) text(last int) string {
	h.mu.Lock()
	defer h.mu.Unlock()
	var b strings.Builder
	entries := h.entries
	if cut := len(entries) - last; cut > 0 {
		fmt.Fprintf(&b, "... %d earlier entries\n", cut)
		entries = entries[cut:]
	}
	for i := range entries {
		b.WriteString(entries[i].String())
		b.WriteByte('\n')
	}
	return b.String()
}

// of returns, as text, the entries that contain one of the words and all that are not about single
// runs.
func (h *history) of(words ...string) string {
	h.mu.Lock()
	defer h.mu.Unlock()
	var b strings.Builder
	for i := range h.entries {
		line := h.entries[i].String()
		general := false
		switch h.entries[i].call.(type) {
		case servedEvent, endedEvent, crashedEvent, stalledEvent, cutEvent, jumpedEvent, calmEvent, restedEvent, remarkEvent,
			store.RegisterDeploymentsParams, store.SetPauseParams:
			general = true
		}
		if general || slices.ContainsFunc(words, func(word string) bool { return strings.Contains(line, word) }) {
			b.WriteString(line)
			b.WriteByte('\n')
		}
	}
	return b.String()
}

func (e *entry) String() string {
	line := fmt.Sprintf("%12s %-8s %s", e.at, e.who, describeCall(e.call, e.answer))
	if e.fault != "" {
		line += "  [" + e.fault + "]"
	}
	if e.err != nil {
		line += "  error: " + e.err.Error()
	}
	return line
}

func describeCall(call, answer any) string {
	switch p := call.(type) {
	case store.ClaimRunsParams:
		text := fmt.Sprintf("claim now %s:", wallText(p.Now))
		claims, _ := answer.(store.ClaimRunsResult)
		for _, c := range claims.Runs {
			text += fmt.Sprintf(" %s (due %s, attempt %d, crashes %d)", leaseText(c.Lease), wallText(c.DueTime), c.Attempt, c.Crashes)
		}
		return text
	case store.RenewLeasesParams:
		text := fmt.Sprintf("renew now %s:", wallText(p.Now))
		for _, l := range p.Leases {
			text += " " + leaseText(l)
		}
		renewal, _ := answer.(store.RenewLeasesResult)
		for _, id := range renewal.Lost {
			text += " lost " + idText(id)
		}
		for _, id := range renewal.Cancel {
			text += " cancel " + idText(id)
		}
		return text
	case store.SettleRunsParams:
		text := "settle:"
		errs, _ := answer.([]error)
		for i, u := range p.Updates {
			text += fmt.Sprintf(" %s %s/%s", leaseText(u.Lease), u.State.Type, u.State.Name)
			if errs != nil && errs[i] != nil {
				text += " (" + errs[i].Error() + ")"
			}
		}
		return text
	case store.ReapLeasesParams:
		text := fmt.Sprintf("reap now %s:", wallText(p.Now))
		reaped, _ := answer.(store.ReapLeasesResult)
		for _, r := range reaped.Runs {
			text += fmt.Sprintf(" %s %s crashes %d", idText(r.ID), r.State.Name, r.Crashes)
		}
		return text
	case store.PlanRunsParams:
		return fmt.Sprintf("plan now %s:%s", wallText(p.Now), plansText(p.Plans, answer))
	case store.CreateRunParams:
		return fmt.Sprintf("create %s due %s key %q child %t", idText(p.ID), wallText(p.DueTime), p.IdempotencyKey, p.Child != nil)
	case store.HeartbeatRunnerParams:
		return fmt.Sprintf("heartbeat now %s until %s", wallText(p.Now), wallText(p.Until))
	case store.RegisterDeploymentsParams:
		text := fmt.Sprintf("register deployments now %s:", wallText(p.Now))
		registrations, _ := answer.([]store.Registration)
		for i, r := range registrations {
			text += fmt.Sprintf(" %s %s %d", p.Deployments[i].Handle(), r.Change, r.Generation)
		}
		return text
	case store.AppendLogsParams:
		text := "log:"
		for _, l := range p.Runs {
			text += fmt.Sprintf(" %s %d lines", leaseText(l.Lease), len(l.Lines))
		}
		return text
	case store.CancelRunParams:
		return "cancel " + idText(p.RunID)
	case store.RetryRunParams:
		return "retry " + idText(p.RunID)
	case uuid.UUID:
		return "delete or read " + idText(p)
	case enteredEvent:
		return fmt.Sprintf("ENTERED %s attempt %d", leaseText(p.Lease), p.attempt)
	case leftEvent:
		return fmt.Sprintf("LEFT %s: %s", leaseText(p.Lease), p.outcome)
	default:
		return fmt.Sprintf("%T%+v", p, p)
	}
}

func plansText(plans []store.SchedulePlan, answer any) string {
	text := ""
	errs, _ := answer.([]error)
	for i := range plans {
		p := &plans[i]
		text += fmt.Sprintf(" %s/%s g%d %s->%s (%d runs", idText(p.DeploymentID), p.Key, p.Generation, wallText(p.From), wallText(p.Planned), len(p.Runs))
		if len(p.Runs) > 0 {
			text += " from " + wallText(p.Runs[0].ScheduledTime)
		}
		for _, s := range p.Skips {
			text += fmt.Sprintf(", skip %s %s..%s %d", s.Reason, wallText(s.First), wallText(s.Last), s.Count)
		}
		if len(p.Cancel) > 0 {
			text += fmt.Sprintf(", cancel %d", len(p.Cancel))
		}
		text += ")"
		if errs != nil && errs[i] != nil {
			text += " refused: " + errs[i].Error()
		}
	}
	return text
}

func wallText(t time.Time) string {
	if t.IsZero() {
		return "-"
	}
	return t.UTC().Format("01-02T15:04:05.000")
}

// idText returns the end of an ID, which is random.
func idText(id uuid.UUID) string { return id.String()[28:] }

func leaseText(l store.Lease) string { return fmt.Sprintf("%s:%d", idText(l.RunID), l.Token) }

// withoutAnswer adapts a call that returns nothing but an error.
func withoutAnswer[P any](call func(context.Context, P) error) func(context.Context, P) (struct{}, error) {
	return func(ctx context.Context, p P) (struct{}, error) { return struct{}{}, call(ctx, p) }
}
