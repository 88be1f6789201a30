package proc

// markKey is the environment variable by which the processes of a runner are known as its own, whoever their parent is by then.
const markKey = "PROVOST_GROUP"
