// Package engine executes runs: it plans schedules, claims due runs, calls their flows under a
// lease and stores what became of them. Package provost resolves a Runner and its deployments into
// a [Config]; one [Engine] serves one call of Runner.Serve.
//
// An engine is made of parts that own their state and that the engine wires together:
//
//   - the poller looks for work: it asks the heart for heartbeats, the reaper for leases that
//     expired, the planner for runs of schedules and the claimer for due runs;
//   - the starter holds claimed runs until their instant, the pool executes them, and the
//     subprocess pool has processes for those that want one;
//   - the [LeaseKeeper] renews the leases of all runs under way and stops those whose lease cannot
//     be trusted;
//   - the [Completer] writes what became of runs, in batches;
//   - hooks calls the flows' hooks once an end is stored.
//
// No part waits for a store call of another one, and each survives hours in which the store fails
// or does not answer. Engine.Serve starts their goroutines and waits for all of them.
//
// [Access], [LeaseKeeper], [Completer] and [Drain] do not care who executes a run: whoever
// implements [HeldRun] can use them for runs that execute elsewhere.
package engine
