package proc

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"os"
	"runtime"
	"runtime/debug"
	"sync"
)

// selfPath names the executable of this process, even if its file has been replaced since (Linux).
const selfPath = "/proc/self/exe"

var self = sync.OnceValues(func() (os.FileInfo, error) { return os.Stat(selfPath) })

// Executable returns the path by which to start this program again.
func Executable() (string, error) {
	path, err := os.Executable()
	if runtime.GOOS == "linux" && (err != nil || !StillExecutable(path)) {
		return selfPath, nil
	}
	return path, err
}

// StillExecutable reports whether path, which [Executable] returned, still names the file that this
// process runs. If that is true after a start too, the new process is of the same build. On systems
// other than Linux it always returns true; compare [Build] there.
func StillExecutable(path string) bool {
	if runtime.GOOS != "linux" || path == selfPath {
		return true
	}
	running, err := self()
	if err != nil {
		return true // no /proc: as on other systems
	}
	found, err := os.Stat(path)
	return err == nil && os.SameFile(found, running)
}

// Build returns a text that differs between builds of this program, without reading the whole
// executable. On Linux it returns "": there the parent calls [StillExecutable], because computing
// the text would cost each subprocess more than all else before its run.
var Build = sync.OnceValue(func() string {
	if runtime.GOOS == "linux" {
		return ""
	}
	h := sha256.New()
	if info, ok := debug.ReadBuildInfo(); ok {
		_, _ = io.WriteString(h, info.String()) // a hash does not fail
	}
	if path, err := os.Executable(); err == nil {
		if file, err := os.Stat(path); err == nil {
			fmt.Fprintf(h, "%d %d", file.Size(), file.ModTime().UnixNano())
		}
	}
	return hex.EncodeToString(h.Sum(nil)[:16])
})
