package proc

import (
	"os"
	"path/filepath"
	"testing"
)

// BenchmarkRecord measures what a registry adds to the start and the end of a process.
func BenchmarkRecord(b *testing.B) {
	r, err := OpenRegistry(filepath.Join(b.TempDir(), "registry"))
	if err != nil {
		b.Fatal(err)
	}
	defer r.Close()
	for b.Loop() {
		slot, err := r.add(os.Getpid())
		if err != nil {
			b.Fatal(err)
		}
		r.remove(slot)
	}
}
