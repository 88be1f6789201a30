package provost

import "time"

// SetClock gives a runner a wall clock of its own, to make it jump while timers run on.
func (r *Runner) SetClock(now func() time.Time) { r.clock = now }

// SetClock is Runner.SetClock for a client.
func (c *Client) SetClock(now func() time.Time) { c.clock = now }
