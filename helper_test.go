package provost_test

import "os"

// helpers are what this test binary can be instead of itself, by the name in helperVariable.
var helpers = map[string]func() (code int){
	"chaos": serveChaos,
}

const helperVariable = "PROVOST_TEST_HELPER"

// runHelper ends the process as a helper, if it was started as one. It is the first thing that TestMain does.
func runHelper() {
	if help := helpers[os.Getenv(helperVariable)]; help != nil {
		os.Exit(help())
	}
}
