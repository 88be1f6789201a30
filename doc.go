// Package provost runs Go functions on schedules and on request, inside your own service. A typed
// function becomes a [Flow]; a flow with its schedules, parameters and tags becomes a [Deployment];
// [Serve] runs deployments until its context ends. Every run is recorded with its parameters,
// states, log and result. No scheduled instant is lost silently: each one ends as a run or as a
// recorded skip.
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
// [NewFlow] makes a flow from a function that takes parameters and returns a result, [NewAction]
// from one without a result, and [NewJob] from one with neither. The types are inferred. Set the
// fields of the flow before it is served: Retries with RetryDelay or Backoff, Timeout, AtMostOnce,
// and the hooks that run after a terminal state is stored. [ExponentialBackoff] returns a function
// for Backoff.
//
// A run fails if its function returns an error. An error marked with [Permanent] ends the run
// without another attempt. A panic fails the run too, with the stack in the message; it does not
// end the process.
//
// Inside a run, [RunFromContext] returns what the run is, [Logger] logs to the runner's logger and
// to the run's own log, and [ClientFromContext] returns a client of the store. [Flow.Run] inside a
// run records a child run; elsewhere it is a plain call.
//
// # Deployments
//
// A flow can have many deployments. The handle of a deployment is "flow/deployment".
// [Deployment.Validate] reports everything that is wrong with one, each problem with its field and
// its fix; Serve validates as well.
//
// A declaration is a constant of the build. Declaring a deployment again without a change writes
// nothing and resets nothing, so restarts and replicas are harmless. A changed declaration replaces
// the old one.
//
// Operators and other services use a [Client]. [Client.RunDeployment] starts a run by hand,
// [Client.Wait] waits for it, and [Flow.Result] reads what it returned; [Start] and [RunAndWait] do
// the same with typed parameters. [Client.PauseDeployment], [Client.CancelRun], [Client.RetryRun],
// [Client.UpcomingRuns], [Client.Backfill] and [Client.Logs] do what their names say.
//
// # Schedules
//
// [Cron], [Every], [RRule] and [At] return a [Schedule], a value whose methods refine it: In sets
// the zone (UTC by default), From and Until bound it, Except and ExceptOn exclude days, and
// WithParameters gives its runs their own parameters. A deployment can have several schedules.
//
// The instants of a schedule depend only on its definition. A cron schedule at a fixed time fires
// exactly once for each matching local date and time, even when the clocks change; see [Cron]. The
// ticks of Every count from an anchor, not from the start of the program.
//
// A program that may run where there is no time zone database imports time/tzdata.
//
// # Parameters
//
// Parameters are the fields of a struct. Their types and tags make a JSON Schema (draft-07):
//
//	json                  name, omitempty, omitzero, string, - as in encoding/json
//	default               default:"eu", default:"1h30m", default:"[1,2]": the value of an
//	                      absent field, at any depth
//	required              required:"true"; without it no field is required
//	enum                  enum:"eu,us"; for a slice, the values that its items may have
//	minimum, maximum,
//	exclusiveMinimum,
//	exclusiveMaximum,
//	multipleOf            for numbers, compared exactly
//	minLength, maxLength  for text, in characters
//	pattern               for text, in the syntax of package regexp
//	format                format:"email", "uri", "date", ...
//	minItems, maxItems,
//	uniqueItems           for slices
//	title, description,
//	examples              for people; commas separate examples
//
// A field without a description tag is described by its doc comment, if [Flow.Source] has it.
// Durations are written "1h30m", times in RFC 3339, bytes in base64. Pointers may be null, and
// integers are exact. A type with a method JSONSchema() map[string]any describes itself. A type
// without a schema is an error of [Deployment.Validate] that names the field.
//
// The parameters of a run come in layers: the schema's defaults, then the deployment's parameters,
// the schedule's and the run's own, key by key at the top level. Making a run by hand with
// parameters that do not fit the schema returns a [*ParamError]; a scheduled run with such
// parameters fails at once, visibly. [Flow.Params] turns a typed value into parameters and leaves
// out zero fields, so that lower layers show through. [Flow.DecodeJSON] decodes JSON text and
// checks it against the schema.
//
// Use a [Secret], or a field tagged secret:"true", for a value that nobody should read: clients,
// logs and messages show *** in its place. Stores keep it in clear.
//
// # Running and shutdown
//
// [Runner] is Serve with settings, such as the store, the number of concurrent runs and the time
// that runs get at shutdown. When its context ends, a runner starts nothing more and lets runs
// finish within ShutdownTimeout. Then their contexts end too, and runs that return an error because
// of that are handed back without using up an attempt. Serve handles no signals and opens no port:
// that is left to main.
//
// [Runner.Ready] is closed once the deployments are registered and their first runs are planned, or
// when Serve returns before that. [Runner.Health] returns a snapshot for health checks. The runner
// reports each run, skip and failure to its Observer, for metrics and traces; package observe has
// both types.
//
// # Subprocesses
//
// A run executes in a goroutine or, with [Subprocess], in a process of its own: this program,
// started again. Such a run can exit, use up memory or ignore its cancellation without harm to
// other runs. A program whose main does anything before Serve must call [ServeChild] first.
// [InChild] reports whether the process is a subprocess. The file docs/isolation.md has the
// details.
//
// # Guarantees
//
// Each deployment, schedule and instant has at most one run, however many processes serve the
// deployment. A run is executed at least once, under a lease: if its process dies, another attempt
// follows, and whatever the old one still writes is refused. Write functions so that a second
// attempt does no harm, or set AtMostOnce. After 3 crashes a run is Crashed for good. Crashes do
// not count against Retries.
//
// Nothing starts before its instant. [CatchUpPolicy] decides what happens to instants that pass
// while nobody serves a deployment: by default the newest one runs and the others are recorded as
// skips, which [Client.ListSkips] lists. The instants of a pause are skips too, and are not caught
// up.
//
// The file docs/guarantees.md lists every promise with the tests that prove it, and what is not
// promised.
//
// # Stores
//
// A [Store] keeps deployments, runs and leases. Runners and clients that share a store work
// together.
//
//   - [NewMemoryStore] returns a store that lives and dies with the process. Serve uses one if it
//     is given none. It is for tests, and for services whose runs need not outlive them.
//   - Package [github.com/provost-go/provost/store/sqlite] keeps runs in a file, for any number of
//     processes on one machine.
//   - Package [github.com/provost-go/provost/store/postgres] keeps them in PostgreSQL, for any
//     number of processes and machines.
//
// Store is an interface that others can implement and check with package storetest. Methods may be
// added to it before version 1.
//
// # Testing
//
// A flow's function is an ordinary function: call it. If it asks for its run, give it a context
// from [ContextWithRun]. To test a deployment over time, serve it from a memory store in a bubble
// of testing/synctest: there time.Sleep(30*24*time.Hour) takes milliseconds, and every run of those
// 30 days happens. Package [github.com/provost-go/provost/provosttest] starts and stops the runner.
//
// # Packages
//
// Most programs import this package and that of a store. Many of its types are aliases, as in
// package os, whose os.FileInfo is fs.FileInfo. Their fields, methods and full documentation are
// where they are declared:
//
//   - [github.com/provost-go/provost/store] has Store, Run, State, Page, Retention, Skip, the
//     records and the filters; the names of states and the reasons for waiting; and everything else
//     that the author of a store needs.
//   - [github.com/provost-go/provost/schedule] has Schedule, its constructors and CatchUpPolicy. It
//     can be used alone.
//   - [github.com/provost-go/provost/params] has Params, Secret and Error, which is ParamError
//     here.
//   - [github.com/provost-go/provost/store/memory] has the memory store.
//   - [github.com/provost-go/provost/observe] has Event, Observer and Health, which have no names
//     here.
//
// # Stability
//
// This is version 0: exported names may still change, and CHANGELOG.md lists the changes. A
// deployment can declare two things already that Serve refuses, because nothing acts on them yet:
// Triggers, and a work pool for workers on other infrastructure. [Client.Deploy] declares such a
// deployment without serving it.
package provost
