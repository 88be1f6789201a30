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

// selfPath names the executable of this process, also where its file has been replaced since (Linux).
const selfPath = "/proc/self/exe"

var self = sync.OnceValues(func() (os.FileInfo, error) { return os.Stat(selfPath) })

// Executable is the path to start this program again by.
func Executable() (string, error) {
	path, err := os.Executable()
	if runtime.GOOS == "linux" && (err != nil || !StillExecutable(path)) {
		return selfPath, nil
	}
	return path, err
}

// StillExecutable reports whether path, of [Executable], names the file that this process runs. Asked after a start too, it says
// that the new process is of the same build. Elsewhere than on Linux nobody knows, and [Build] has to do.
func StillExecutable(path string) bool {
	if runtime.GOOS != "linux" || path == selfPath {
		return true
	}
	running, err := self()
	if err != nil {
		return true // no /proc: as elsewhere
	}
	found, err := os.Stat(path)
	return err == nil && os.SameFile(found, running)
}

// Build tells builds of this program apart, without reading the whole executable. On Linux it does not: there the parent asks
// [StillExecutable], as this would cost each child more than all else before its run.
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
