// Package sim simulates runners that serve one store, in tests only.
//
// A world is production code in virtual time: one to five runners on one memory store, and an
// operator who uses the client. A seed draws its deployments, what their functions do, and its
// faults:
//
//   - Runners crash, restart, redeploy and stand still.
//   - Runners are cut off from the store.
//   - Store calls fail, hang or take long, before or after their work, or are delivered twice.
//   - The wall clock jumps, in both directions.
//
// After the faults the runners get time to recover, then every schedule is paused and every due run
// must end. A checker that knows only the calls, the answers and the final contents of the store
// holds the history against the promises:
//
//   - Every instant that a build declared is decided exactly once: by a run or by a recorded skip.
//   - Leases are exclusive, tokens grow, and a write under an old token changes nothing.
//   - Two calls of one run's function never overlap, unless a runner stood still, the wall clock
//     jumped, or the function ignores its context.
//   - Limits hold. Retries, attempts, crashes and AtMostOnce are counted right.
//   - States follow the state machine, and logs keep what was logged, once and in order.
//   - Runners neither call the store nor log without bound.
//
// A seed fixes faults, times and data, but not the order in which goroutines run. Run more seeds,
// or one seed up to 200 times, with
//
//	go test ./internal/sim -run 'TestSimulation$' -sim.seeds=20000 -timeout 3h
//	go test ./internal/sim -run 'TestSimulation$' -sim.seed=N
//
// The flags, each with its environment variable:
//
//	-sim.seed     PROVOST_SIM_SEED    simulate only this seed, up to 200 times
//	-sim.seeds    PROVOST_SIM_SEEDS   how many seeds to simulate
//	-sim.first    PROVOST_SIM_FIRST   the first of these seeds
//	-sim.calls    PROVOST_SIM_CALLS   let each call of a scenario fail in each way, not a sample
//	-sim.history                      write the whole history of a failed seed to this file
package sim
