// Package store is the contract between provost and the stores that keep its deployments, runs,
// runners and logs. It is for authors of stores. Programs that declare and run deployments need
// package provost alone, which has an alias for each type of this package that they meet.
//
// [Store] is the whole contract: five interfaces, one for each kind of thing that is kept. A store
// may offer more: [Notifier] if it can report changes as they happen, [LocalStore] if it lives in
// this process. A wrapper around a store has a method Unwrap() Store, so that [As] finds what the
// wrapped store offers.
//
// # Rules
//
//  1. Each method is atomic. It happens completely or not at all, and concurrent calls behave as if
//     they came one after another.
//  2. Each method returns when its context ends.
//  3. An error does not tell whether the write happened, so every write can be repeated: the same
//     call with the same IDs, keys and tokens succeeds and changes nothing. Where a method is
//     documented to refuse a second call, the refusal changes nothing either.
//  4. Time comes in as an argument, Now. A store that several machines share may judge leases by
//     the clock of its database instead.
//  5. Values are copied on the way in and on the way out.
//  6. Times are kept and returned in UTC, in whole microseconds.
//  7. Where a call judges each of its items by itself, a refused item writes nothing.
//  8. A list resolves its filter first: see [RunFilter.Resolve] and [SkipFilter.Resolve].
//  9. A page stays in place while items are added. A cursor that is not the Next of a page is an
//     error.
//  10. Errors wrap the sentinels of this package. Each method documents those that callers branch
//     on.
//
// Methods may be added before version 1.
//
// # Names
//
// A command takes XParams. It returns XResult if it has more than one thing to return. A list takes
// XFilter and returns a [Page]; the log of a run is a [LogPage], which also counts what is missing.
//
// # Writing a store
//
// Package storetest is the conformance suite: a store must pass storetest.Run. Package store/memory
// is the reference where the contract leaves a question open. Every store needs [AppendState] to
// extend the history of a run, and [FlowID] and [RunName] to fill in what callers leave out.
package store
