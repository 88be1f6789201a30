package proc

import (
	"os"
	"path/filepath"
	"testing"
)

// BenchmarkRecord is what a registry adds to a start and its end.
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
