package provost

import (
	"context"
	"strings"
	"testing"
)

// TestSubprocessNeedsServeChildInTests checks that Serve refuses subprocesses in a test binary
// without ServeChild, which would run the tests again.
func TestSubprocessNeedsServeChildInTests(t *testing.T) {
	childServed.Store(false)
	defer childServed.Store(true)
	err := (&Runner{Isolation: Subprocess}).Serve(t.Context(), &Deployment{Flow: NewJob("f", func(context.Context) error { return nil }), Name: "d"})
	if err == nil || !strings.Contains(err.Error(), "TestMain") || !strings.Contains(err.Error(), "ServeChild") {
		t.Errorf("got error %v, want one that names TestMain and ServeChild", err)
	}
}
