package proc_test

import (
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/provost-go/provost/internal/proc"
)

// TestDirectory checks that a directory that another user may have prepared is refused.
func TestDirectory(t *testing.T) {
	base := t.TempDir()
	at := func(name string) string { return filepath.Join(base, name) }
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	must(os.Mkdir(at("good"), 0o700))
	must(os.Symlink(at("good"), at("link")))
	must(os.WriteFile(at("file"), nil, 0o600))
	must(os.Mkdir(at("open"), 0o700))
	must(os.Chmod(at("open"), 0o755))
	must(os.Mkdir(at("writable"), 0o700))
	must(os.Chmod(at("writable"), 0o720))
	must(os.Mkdir(at("theirs"), 0o700))
	for name, want := range map[string]string{
		"good": "", "new": "", "link": "not a directory", "file": "not a directory", "open": "chmod 700", "writable": "chmod 700",
		"theirs": "another user", "missing/new": "no such file",
	} {
		if name == "theirs" && os.Chown(at(name), 65534, -1) != nil {
			continue // chown needs privileges
		}
		r, err := proc.OpenRegistry(at(name))
		_, sweepErr := proc.Sweep(t.Context(), at(name))
		if want == "" {
			if err != nil || sweepErr != nil {
				t.Errorf("%s: %v, %v", name, err, sweepErr)
			} else if err := r.Close(); err != nil {
				t.Error(err)
			}
			continue
		}
		for _, err := range []error{err, sweepErr} {
			if err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("%s: %v, want %q", name, err, want)
			}
		}
	}
	if info, err := os.Stat(at("new")); err != nil || info.Mode().Perm() != 0o700 {
		t.Errorf("the new directory is %v, %v", info.Mode(), err)
	}
}

// TestDefaultDirectory checks that the default directory is in the user's cache directory, or in
// that for temporary files.
func TestDefaultDirectory(t *testing.T) {
	cache, temporary := t.TempDir(), t.TempDir()
	t.Setenv("XDG_CACHE_HOME", cache)
	t.Setenv("TMPDIR", temporary)
	expectRegistry := func(dir string) {
		t.Helper()
		r, err := proc.OpenRegistry("")
		if err != nil {
			t.Fatal(err)
		}
		defer r.Close()
		if list, err := filepath.Glob(filepath.Join(dir, "provost-*", "runner-*")); err != nil || len(list) != 1 {
			t.Errorf("%s has %v, %v", dir, list, err)
		}
	}
	expectRegistry(cache)
	t.Setenv("XDG_CACHE_HOME", "/proc/none") // where nothing can be created
	expectRegistry(temporary)
	t.Setenv("XDG_CACHE_HOME", "")
	t.Setenv("HOME", "")
	expectRegistry(temporary)
}

// TestCloseKeepsTheLiving checks that Close keeps the registry of a process that is not reaped, and
// that Sweep spares both because the runner lives.
func TestCloseKeepsTheLiving(t *testing.T) {
	dir := private(t, t.TempDir())
	r, err := proc.OpenRegistry(dir)
	if err != nil {
		t.Fatal(err)
	}
	p := start(t, proc.Command{Path: "/bin/sleep", Args: []string{"sleep", "1000"}, Registry: r})
	if err := r.Close(); err != nil {
		t.Error(err)
	}
	if killed := sweep(t, dir); killed != 0 || !alive(p.Pid()) {
		t.Errorf("Sweep killed %d processes of a living runner", killed)
	}
	expectFiles(t, dir, 1)
}

// TestUnrecorded checks that Start starts a process that cannot be recorded, and that Unrecorded
// returns why.
func TestUnrecorded(t *testing.T) {
	r, err := proc.OpenRegistry(private(t, t.TempDir()))
	if err != nil {
		t.Fatal(err)
	}
	if err := r.Close(); err != nil {
		t.Fatal(err)
	}
	p, err := proc.Start(proc.Command{Path: "/bin/true", Registry: r})
	if err != nil {
		t.Fatal(err)
	}
	if p.Unrecorded() == nil {
		t.Error("a process is recorded in a closed registry")
	}
	if exit := p.Wait(); !exit.Success() {
		t.Errorf("ended with %v", exit)
	}
}

// TestMark checks that the mark of the registry is in the environment of a process, and replaces
// that of a runner above.
func TestMark(t *testing.T) {
	t.Setenv("PROVOST_GROUP", "ofarunnerabove")
	r := registry(t, t.TempDir())
	p, out := startTalking(t, proc.Command{Path: "/bin/sh", Args: []string{"sh", "-c", "env | grep -c ^PROVOST_GROUP=; echo $PROVOST_GROUP"}, Registry: r})
	expectLine(t, out, "1")
	mark, err := out.ReadString('\n')
	if err != nil || len(mark) < 20 || strings.Contains(mark, "above") {
		t.Errorf("the mark is %q, %v", mark, err)
	}
	p.Wait()
}

// TestOpenWhileSwept opens registries while others sweep: a file without a header must not be taken
// for one of a dead runner.
func TestOpenWhileSwept(t *testing.T) {
	dir := private(t, t.TempDir())
	stop := make(chan struct{})
	var sweepers, openers sync.WaitGroup
	for range 2 {
		sweepers.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
					sweep(t, dir)
				}
			}
		})
	}
	for range 4 {
		openers.Go(func() {
			for range 100 / slowdown {
				r, err := proc.OpenRegistry(dir)
				if err != nil {
					t.Error(err)
					return
				}
				if err := r.Close(); err != nil {
					t.Error(err)
				}
			}
		})
	}
	openers.Wait()
	close(stop)
	sweepers.Wait()
	expectFiles(t, dir, 0)
}
