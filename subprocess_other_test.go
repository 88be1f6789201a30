//go:build !unix

package provost_test

import (
	"os"
	"testing"

	"github.com/provost-go/provost"
)

func systemFlows() []provost.AnyFlow { return nil }

func kill(t *testing.T, pid int) {
	t.Helper()
	p, err := os.FindProcess(pid)
	if err == nil {
		err = p.Kill()
	}
	if err != nil {
		t.Fatal(err)
	}
}

func interrupt(*testing.T, int) {}

func alive(int) bool { return false }

func wantDead(*testing.T, int) {}
