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

// simHistory is what happened in a simulation, in the order in which it happened: every store call as the store answered it,
// whatever its caller was told, and what was done to runners and flows.
type simHistory struct {
	began time.Time

	// mu makes a call and its record one step.
	mu      sync.Mutex
	records []simRecord
}

// simRecord is a call of the store or an event.
type simRecord struct {
	at     time.Duration // virtual time since the simulation began
	who    string        // runner or client
	call   any           // params of the call, or one of the sim events
	answer any
	err    error
	fault  string // what the caller's side of it suffered
}

// The events beside store calls.
type (
	simEntered struct { // a flow's function began
		store.Lease
		deployment uuid.UUID
		attempt    int
		obeys      bool // it returns as soon as its context ends
	}
	simLeft struct { // it returned, panicked or ended its goroutine
		store.Lease
		outcome string
	}
	simServed  struct{}                      // a runner began to serve
	simEnded   struct{ err error }           // Serve returned
	simCrashed struct{}                      // the runner is gone, and its flows with it
	simStalled struct{ until time.Duration } // the runner stands still, its flows too
	simCut     struct{ until time.Duration } // its store calls fail
	simJumped  struct{ by time.Duration }    // the wall clock jumped
	simCalm    struct{}                      // the last fault is over
	simRested  struct{ wall time.Time }      // every deployment was paused for the end
	simRemark  struct{ text string }         // for the reader
	simLost    struct{ call string }         // a call that did not reach the store
	simWrote   struct {
		lease store.Lease
		line  int
	} // a flow logged its line of that number
)

func (h *simHistory) add(r simRecord) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.append(r)
}

// append is add for who holds mu.
func (h *simHistory) append(r simRecord) {
	r.at = time.Since(h.began)
	h.records = append(h.records, r)
}

// recorded makes a store call and its record one step.
func recorded[P, A any](h *simHistory, who, fault string, p P, call func() (A, error)) (A, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	answer, err := call()
	r := simRecord{who: who, call: p, answer: answer, err: err, fault: fault}
	if fault != "" || err != nil || r.matters() {
		h.append(r)
	}
	return answer, err
}

// matters is false for calls that look and find nothing.
func (r *simRecord) matters() bool {
	switch answer := r.answer.(type) {
	case store.ClaimRunsResult:
		return len(answer.Runs) > 0
	case store.DueSchedulesResult:
		return false
	case *store.Run:
		_, read := r.call.(uuid.UUID)
		return !read
	case store.Page[*store.Run], store.Page[*store.DeploymentRecord], *store.DeploymentRecord, store.Page[store.Skip], store.LogPage:
		_, pause := r.call.(store.SetPauseParams)
		return pause
	}
	return true
}

// text is the end of a history, for people.
func (h *simHistory) text(last int) string {
	h.mu.Lock()
	defer h.mu.Unlock()
	var b strings.Builder
	records := h.records
	if cut := len(records) - last; cut > 0 {
		fmt.Fprintf(&b, "... %d earlier records\n", cut)
		records = records[cut:]
	}
	for i := range records {
		b.WriteString(records[i].String())
		b.WriteByte('\n')
	}
	return b.String()
}

// of is a history's records that speak of one of the given runs, and all that is not about single runs.
func (h *simHistory) of(words ...string) string {
	h.mu.Lock()
	defer h.mu.Unlock()
	var b strings.Builder
	for i := range h.records {
		line := h.records[i].String()
		general := false
		switch h.records[i].call.(type) {
		case simServed, simEnded, simCrashed, simStalled, simCut, simJumped, simCalm, simRested, simRemark,
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

func (r *simRecord) String() string {
	line := fmt.Sprintf("%12s %-8s %s", r.at, r.who, describeCall(r.call, r.answer))
	if r.fault != "" {
		line += "  [" + r.fault + "]"
	}
	if r.err != nil {
		line += "  error: " + r.err.Error()
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
	case simEntered:
		return fmt.Sprintf("ENTERED %s attempt %d", leaseText(p.Lease), p.attempt)
	case simLeft:
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

// idText is the end of an ID, where it is random.
func idText(id uuid.UUID) string { return id.String()[28:] }

func leaseText(l store.Lease) string { return fmt.Sprintf("%s:%d", idText(l.RunID), l.Token) }

// withoutAnswer fits a call that gives no more than an error.
func withoutAnswer[P any](call func(context.Context, P) error) func(context.Context, P) (struct{}, error) {
	return func(ctx context.Context, p P) (struct{}, error) { return struct{}{}, call(ctx, p) }
}
