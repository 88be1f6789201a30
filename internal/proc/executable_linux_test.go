package proc_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/provost-go/provost/internal/proc"
)

func TestStillExecutable(t *testing.T) {
	path, err := proc.Executable()
	if err != nil || !proc.StillExecutable(path) {
		t.Fatalf("%q, %v is not the executable", path, err)
	}
	if path != "/proc/self/exe" { // else it was replaced before the test began
		linked := filepath.Join(t.TempDir(), "link")
		if err := os.Symlink(path, linked); err != nil {
			t.Fatal(err)
		}
		if !proc.StillExecutable(linked) {
			t.Error("a link to the executable passes for another file")
		}
	}
	replaced := filepath.Join(t.TempDir(), "replaced")
	if proc.StillExecutable(replaced) {
		t.Error("a file that is not there passes for the executable")
	}
	text, err := os.ReadFile(path)
	if err == nil {
		err = os.WriteFile(replaced, text, 0o700)
	}
	if err != nil {
		t.Fatal(err)
	}
	if proc.StillExecutable(replaced) {
		t.Error("a copy passes for the executable; a new build has other bytes, and the name alone does not tell")
	}
}
