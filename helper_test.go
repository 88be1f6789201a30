package provost_test

import "os"

// helpers are the programs that this test binary can run instead of its tests, by their names in
// helperVariable.
var helpers = map[string]func() (code int){
	"chaos": serveChaos,
}

const helperVariable = "PROVOST_TEST_HELPER"

// runHelper runs a helper and exits, if this process was started as one. TestMain calls it first.
func runHelper() {
	if help := helpers[os.Getenv(helperVariable)]; help != nil {
		os.Exit(help())
	}
}
