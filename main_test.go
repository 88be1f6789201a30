package provost_test

import (
	"os"
	"testing"
)

// helpers are what this test binary can be instead of itself, by the name in helperVariable.
var helpers = map[string]func() (code int){
	"chaos": serveChaos,
}

const helperVariable = "PROVOST_TEST_HELPER"

func TestMain(m *testing.M) {
	if help := helpers[os.Getenv(helperVariable)]; help != nil {
		os.Exit(help())
	}
	os.Exit(m.Run())
}
