package sorted

import (
	"cmp"
	"math/rand/v2"
	"slices"
	"testing"
)

// TestIndexAgainstSlice compares an index with a plain sorted slice under the same random
// operations.
func TestIndexAgainstSlice(t *testing.T) {
	for seed := range uint64(20) {
		random := rand.New(rand.NewPCG(seed, 1))
		index := New(cmp.Compare[int])
		var model []int
		for range 5000 {
			v := random.IntN(2000)
			at, found := slices.BinarySearch(model, v)
			switch random.IntN(5) {
			case 0, 1, 2:
				if got := index.Insert(v); got == found {
					t.Fatalf("seed %d: Insert(%d) = %v, in the model: %v", seed, v, got, found)
				}
				if !found {
					model = slices.Insert(model, at, v)
				}
			case 3:
				if got := index.Delete(v); got != found {
					t.Fatalf("seed %d: Delete(%d) = %v, in the model: %v", seed, v, got, found)
				}
				if found {
					model = slices.Delete(model, at, at+1)
				}
			case 4:
				checkRange(t, &index, model, v, at)
			}
			if index.Len() != len(model) {
				t.Fatalf("seed %d: Len() = %d, want %d", seed, index.Len(), len(model))
			}
		}
		if got := slices.Collect(index.Ascend()); !slices.Equal(got, model) {
			t.Fatalf("seed %d: Ascend() differs from the model", seed)
		}
		for _, v := range model {
			first, _ := index.Min()
			if first != v || !index.Delete(v) {
				t.Fatalf("seed %d: Min() = %d, want %d", seed, first, v)
			}
		}
	}
}

// checkRange compares iterators from and before v; the model has v, or would have it, at index at.
func checkRange(t *testing.T, index *Index[int], model []int, v, at int) {
	t.Helper()
	reached := func(x int) bool { return x >= v }
	if got := slices.Collect(index.AscendFrom(reached)); !slices.Equal(got, model[at:]) {
		t.Fatalf("AscendFrom(%d) = %v, want %v", v, got, model[at:])
	}
	before := slices.Clone(model[:at])
	slices.Reverse(before)
	if got := slices.Collect(index.DescendBefore(reached)); !slices.Equal(got, before) {
		t.Fatalf("DescendBefore(%d) = %v, want %v", v, got, before)
	}
}

// BenchmarkQueue takes the first value of an index of 100,000 and adds one at the end.
func BenchmarkQueue(b *testing.B) {
	index := New(cmp.Compare[int])
	for i := range 100_000 {
		index.Insert(i)
	}
	next := 100_000
	for b.Loop() {
		first, _ := index.Min()
		index.Delete(first)
		index.Insert(next)
		next++
	}
}
