// Package proc starts processes that must never outlive the process that started them.
//
// Three nets lie under each other. What a leader leaves behind when it ends is killed before the leader is reaped ([Process.Wait]).
// When the process that started them dies, however it dies, each leader learns it from a pipe and kills its own group
// ([ParentDeath], [WatchParent]). What cannot learn it, being stopped or deaf, stands in a [Registry] on disk, and the next runner
// on this machine kills it ([Sweep]). (Pdeathsig would kill only the leader, the one process that could have ended the others.)
//
// A process that leaves its group (setsid, setpgid) has left these nets too, and so has one that is another user's by then.
//
// What systems give:
//   - Linux: all of it.
//   - Other Unix: no Registry, no Memory. A group is killed just after its leader is reaped, not just before.
//   - Windows: a job object takes the place of the group, and ends with its runner. No Terminate, no Registry, no Memory.
package proc
