// Package proc starts processes that never outlive the process that started them.
//
// A process started by [Start] leads a process group of its own. Three mechanisms back each other
// up:
//
//   - When a leader ends, [Process.Wait] kills the rest of its group before it reaps the leader.
//   - When the starting process dies, however it dies, each leader learns so from a pipe and kills
//     its own group: [ParentDeath], [WatchParent].
//   - A process that cannot do that, because it is stopped or unresponsive, is recorded in a
//     [Registry] on disk. The next runner on this machine kills it: [Sweep].
//
// (Pdeathsig would kill only the leader, the one process that could have ended the others.)
//
// A process that leaves its group (setsid, setpgid) escapes all three, and so does one that has
// become another user's.
//
// Support by system:
//
//   - Linux: everything.
//   - Other Unix: no Registry, no Memory. A group is killed just after its leader is reaped, not
//     just before.
//   - Windows: a job object takes the place of the group and ends with its runner. No Terminate, no
//     Registry, no Memory.
package proc
