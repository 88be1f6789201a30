// Package provost runs Go functions on schedules and on request, inside your own service. A typed function becomes a [Flow]; a
// flow with its schedules, parameters and tags becomes a [Deployment]; [Serve] runs deployments until its context ends. Every
// run is recorded with its parameters, states, log and result, and no scheduled instant is lost silently: it ends as a run or
// as a recorded skip.
//
//	func makeReport(ctx context.Context, p ReportParams) (Summary, error) { ... }
//
//	func main() {
//		ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
//		defer stop()
//		err := provost.Serve(ctx, &provost.Deployment{
//			Flow:       provost.NewFlow("report", makeReport),
//			Name:       "nightly",
//			Schedules:  []provost.Schedule{provost.Cron("0 2 * * *").In("Europe/Berlin")},
//			Parameters: provost.Params{"region": "us"},
//		})
//		if err != nil {
//			log.Fatal(err)
//		}
//	}
//
// # Flows
//
// [NewFlow] makes a flow of a function with parameters and a result, [NewAction] of one without a result, [NewJob] of one with
// neither. The types are inferred. Set the fields of the flow before it is served: Retries and RetryDelay or Backoff, Timeout,
// AtMostOnce, and hooks that are called once a terminal state is stored. [ExponentialBackoff] makes a Backoff.
//
// A function fails a run by returning an error; one marked with [Permanent] is not worth another attempt. A panic fails it too,
// with the stack in the message; it does not end the process. In a run, [RunFromContext] says which run it is, [Logger] logs to
// the runner's logger and to the run's own log, and [ClientFromContext] reaches the store. [Flow.Run] inside a run records a
// child run; elsewhere it is a plain call.
//
// # Deployments
//
// One flow may have many deployments. The handle of each is "flow/deployment". [Deployment.Validate] reports all that is wrong
// with one, each problem with its field and what to do; Serve validates too. A declaration is a constant of the build:
// declared again without a change, it writes and resets nothing, so restarts and replicas are harmless. A changed one replaces
// the old.
//
// [Client] is what operators and other services use: [Client.RunDeployment] starts a run by hand, [Client.Wait] waits for it,
// [Flow.Result] reads what it returned. [Client.PauseDeployment], [Client.CancelRun], [Client.RetryRun],
// [Client.UpcomingRuns], [Client.Backfill] and [Client.Logs] do what they say.
//
// # Schedules
//
// [Cron], [Every], [RRule] and [At] make a [Schedule], a value that its methods refine: In sets the zone (UTC otherwise), From and
// Until bound it, Except and ExceptOn take days out, WithParameters gives its runs parameters of their own. A deployment may
// have several.
//
// The instants of a schedule depend on nothing but its definition. A cron schedule at a fixed time fires exactly once for each
// matching local date and time, also where the clocks change; see [Cron]. The ticks of Every are counted from an anchor, not
// from the start of the program.
//
// Programs that may run where there is no time zone database import time/tzdata.
//
// # Parameters
//
// Parameters are the fields of a struct. From its types and tags comes a JSON Schema (draft-07):
//
//	json                                name, omitempty, omitzero, string, - as in encoding/json
//	default                             default:"eu", default:"1h30m", default:"[1,2]": what an absent field gets, at any depth
//	required                            required:"true"; without it no field is required
//	enum                                enum:"eu,us"; of a slice, what its items may be
//	minimum, maximum, multipleOf,
//	exclusiveMinimum, exclusiveMaximum  of numbers, compared exactly
//	minLength, maxLength                of text, in characters
//	pattern                             of text, in the syntax of package regexp
//	format                              format:"email", "uri", "date", ...
//	minItems, maxItems, uniqueItems     of slices
//	title, description, examples        for people; examples are separated by commas
//
// A field without a description tag is described by its doc comment if [Flow.Source] has it. Durations are written "1h30m",
// times in RFC 3339, bytes in base64; pointers may be null; integers are exact. A type with a method JSONSchema()
// map[string]any describes itself. What makes no schema is an error of [Deployment.Validate] that names the field.
//
// The parameters of a run are layered: the schema's defaults, then the deployment's, the schedule's and the run's own, key by
// key at the top level. Those that do not fit are refused with a [*ParamError] when a run is made by hand; a scheduled run with
// such parameters fails at once, visibly. [Flow.Params] turns a typed value into parameters and leaves out zero fields, so that
// lower layers show through. [Flow.DecodeJSON] reads JSON text that is held to the schema.
//
// What must not be read is a [Secret], or a field tagged secret:"true": clients, logs and messages show *** for it.
//
// # Running and shutdown
//
// [Runner] is Serve with settings: the store, how many runs at once, how long to wait at the end. When its context ends it
// starts nothing more and lets runs finish within ShutdownTimeout. Then their contexts end too, and runs that return an error
// because of that are handed back without using up an attempt. Serve handles no signals and opens no port: that belongs to
// main.
//
// [Runner.Ready] is closed once the deployments are registered and their first runs are planned, or when Serve
// returns before that. [Runner.Health] says how it is doing, for a health check; an [Observer] is told of each run, skip and
// trouble, for metrics and traces.
//
// # Processes
//
// A run is a goroutine, or, with [Subprocess], a process of its own: this program started again. Such a run may end its process,
// use up memory or ignore its cancellation, and costs no other run. A program that does things before Serve calls [ServeChild]
// first. docs/isolation.md has the details.
//
// # What is guaranteed
//
// There is one run for each deployment, schedule and instant, however many processes serve it. It is executed at least once,
// under a lease: if its process dies, another attempt follows, and whatever the old one still writes is refused. Write
// functions so that a second attempt does no harm, or set AtMostOnce. After 3 crashes a run is Crashed for good. Crashes do
// not count against Retries.
//
// Nothing starts before its instant. Instants that pass while nobody serves a deployment are dealt with as [CatchUpPolicy]
// says: by default the newest one runs and the others are recorded as skips, which [Client.ListSkips] lists. Instants of a
// pause are skips too, and are not caught up.
//
// # Stores
//
// A [Store] keeps deployments, runs and leases. [NewMemoryStore] is one that lives and dies with the process, and what Serve
// uses if given none: for tests, and for services whose runs need not outlive them. Packages store/sqlite and store/postgres keep
// them in a file or a database, for any number of processes. Runners and clients that share a store work together. Store is an interface that others can implement; methods may be added to it before version 1.
//
// # Testing
//
// A flow's function is an ordinary function: call it, in a context from [ContextWithRun] if it asks for its run. To test a
// deployment over time, serve it from a memory store in a bubble of testing/synctest: time.Sleep(30*24*time.Hour) takes
// milliseconds there, and every run of those 30 days happens. Package provosttest starts and stops it.
//
// # Stability
//
// This is version 0: exported names may still change, and CHANGELOG.md says so where they do. Recurrence rules,
// triggers and overlap policies other than waiting are declared here already; Serve refuses what it does not
// do yet.
package provost
