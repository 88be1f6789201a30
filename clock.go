package provost

import "time"

// wallClock is the time of day as runner and client see it. Nil is time.Now; tests have one that jumps while timers run on, as
// the clocks of machines do. What must hold whatever the wall clock does, such as trust in a lease, is measured with time.Now
// itself, which has a monotonic reading.
type wallClock func() time.Time

func (c wallClock) now() time.Time {
	if c == nil {
		return time.Now()
	}
	return c()
}

func (s *server) now() time.Time { return s.clock.now() }

func (c *Client) now() time.Time { return c.clock.now() }
