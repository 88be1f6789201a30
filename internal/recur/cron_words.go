package recur

// Describe says in English when the schedule fires, without the zone.
func (c *Cron) Describe() string { return "at " + c.expr }
