package proc_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/provost-go/provost/internal/proc"
)

// TestStillExecutable checks that only the file itself and links to it pass as the executable.
func TestStillExecutable(t *testing.T) {
	path, err := proc.Executable()
	if err != nil || !proc.StillExecutable(path) {
		t.Fatalf("%q, %v is not the executable", path, err)
	}
	if path != "/proc/self/exe" { // else the file was replaced before the test began
		linked := filepath.Join(t.TempDir(), "link")
		if err := os.Symlink(path, linked); err != nil {
			t.Fatal(err)
		}
		if !proc.StillExecutable(linked) {
			t.Error("a link to the executable is taken for another file")
		}
	}
	replaced := filepath.Join(t.TempDir(), "replaced")
	if proc.StillExecutable(replaced) {
		t.Error("a missing file is taken for the executable")
	}
	text, err := os.ReadFile(path)
	if err == nil {
		err = os.WriteFile(replaced, text, 0o700)
	}
	if err != nil {
		t.Fatal(err)
	}
	if proc.StillExecutable(replaced) {
		t.Error("a copy is taken for the executable, as a new build under the same name would be")
	}
}
