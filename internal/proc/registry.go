package proc

// markKey is the environment variable that marks the processes of a runner as its own, whatever
// process is their parent by then.
const markKey = "PROVOST_GROUP"
