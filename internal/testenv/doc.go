// Package testenv tells tests how large they may be. A plain go test takes a minute on a quiet
// machine of two cores; what takes longer runs only if PROVOST_LONG is set, as it is in CI.
package testenv

import "os"

// Long reports whether PROVOST_LONG is set, so that soaks run and tests have their full size.
func Long() bool { return os.Getenv("PROVOST_LONG") != "" }
