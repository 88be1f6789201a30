// Package observe holds what a runner shows of itself: an [Observer] gets each [Event] as it
// happens, for metrics, traces and alarms, and [Health] is how the runner is doing at one moment,
// for a health check.
//
//	runner := &provost.Runner{
//		Observer: observe.ObserverFunc(func(e observe.Event) {
//			if e.Kind == observe.RunEnded {
//				runsEnded.WithLabelValues(e.Flow, string(e.State.Type)).Inc()
//			}
//		}),
//	}
package observe
