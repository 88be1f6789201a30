// Package sorted keeps values in order in a list of short blocks, like a B-tree of one level. It is
// made for indexes of up to some millions of values in which new values mostly come last.
package sorted

import (
	"iter"
	"slices"
	"sort"
)

// blockSize is the most values in a block: shifting that many pointers costs about as much as
// finding the block.
const blockSize = 256

// Index is a set of values in the order of a comparison. Create one with New. It is not safe for
// concurrent use.
type Index[T any] struct {
	compare func(a, b T) int
	blocks  [][]T // none is empty
	size    int
}

// New returns an empty index. Values are equal if compare returns 0.
func New[T any](compare func(a, b T) int) Index[T] { return Index[T]{compare: compare} }

// Len returns the number of values.
func (x *Index[T]) Len() int { return x.size }

// Min returns the first value. ok is false if the index is empty.
func (x *Index[T]) Min() (first T, ok bool) {
	if x.size == 0 {
		return first, false
	}
	return x.blocks[0][0], true
}

// Insert adds v, unless the index has an equal value. It reports whether it added v.
func (x *Index[T]) Insert(v T) bool {
	if len(x.blocks) == 0 {
		x.blocks = append(x.blocks, []T{v})
		x.size++
		return true
	}
	if last := x.blocks[len(x.blocks)-1]; x.compare(last[len(last)-1], v) < 0 { // the common case for new values
		x.append(v)
		return true
	}
	b := x.block(v)
	block := x.blocks[b]
	i, found := slices.BinarySearchFunc(block, v, x.compare)
	if found {
		return false
	}
	if len(block) == blockSize {
		x.split(b)
		return x.Insert(v)
	}
	x.blocks[b] = slices.Insert(block, i, v)
	x.size++
	return true
}

// append adds a value that is greater than all others. A full last block stays full, so that
// ascending insertion wastes nothing.
func (x *Index[T]) append(v T) {
	last := len(x.blocks) - 1
	if len(x.blocks[last]) == blockSize {
		x.blocks = append(x.blocks, append(make([]T, 0, blockSize), v))
	} else {
		x.blocks[last] = append(x.blocks[last], v)
	}
	x.size++
}

// split splits block b into two halves.
func (x *Index[T]) split(b int) {
	block := x.blocks[b]
	half := slices.Clone(block[blockSize/2:])
	clear(block[blockSize/2:])
	x.blocks[b] = block[:blockSize/2]
	x.blocks = slices.Insert(x.blocks, b+1, half)
}

// Delete removes the value that is equal to v. It reports whether there was one.
func (x *Index[T]) Delete(v T) bool {
	if len(x.blocks) == 0 {
		return false
	}
	if x.compare(x.blocks[0][0], v) == 0 { // the common case of a queue
		x.deleteAt(0, 0)
		return true
	}
	b := x.block(v)
	if b == len(x.blocks) {
		return false
	}
	i, found := slices.BinarySearchFunc(x.blocks[b], v, x.compare)
	if found {
		x.deleteAt(b, i)
	}
	return found
}

func (x *Index[T]) deleteAt(b, i int) {
	x.size--
	block := x.blocks[b]
	var none T
	switch {
	case len(block) == 1:
		block[0] = none
		x.blocks = slices.Delete(x.blocks, b, b+1)
	case i == 0: // nothing moves
		block[0] = none
		x.blocks[b] = block[1:]
	default:
		x.blocks[b] = slices.Delete(block, i, i+1)
	}
}

// block returns the index of the first block whose last value is not before v, or len(blocks) if
// there is none.
func (x *Index[T]) block(v T) int {
	low, high := 0, len(x.blocks)
	for low < high {
		middle := int(uint(low+high) >> 1)
		if block := x.blocks[middle]; x.compare(block[len(block)-1], v) < 0 {
			low = middle + 1
		} else {
			high = middle
		}
	}
	return low
}

// Ascend returns an iterator over the values in order. The index must not change while it is used.
func (x *Index[T]) Ascend() iter.Seq[T] {
	return func(yield func(T) bool) { x.ascend(0, 0, yield) }
}

// AscendFrom returns an iterator, in order, over the values from the first one for which reached
// returns true. reached must return true for all values after that one too.
func (x *Index[T]) AscendFrom(reached func(T) bool) iter.Seq[T] {
	return func(yield func(T) bool) {
		b, i := x.find(reached)
		x.ascend(b, i, yield)
	}
}

// DescendBefore returns an iterator, in reverse order, over the values before the first one for
// which reached returns true. reached must return true for all values after that one too.
func (x *Index[T]) DescendBefore(reached func(T) bool) iter.Seq[T] {
	return func(yield func(T) bool) {
		b, i := x.find(reached)
		if b < len(x.blocks) {
			if !descend(x.blocks[b][:i], yield) {
				return
			}
		}
		for b--; b >= 0; b-- {
			if !descend(x.blocks[b], yield) {
				return
			}
		}
	}
}

func descend[T any](block []T, yield func(T) bool) bool {
	for _, v := range slices.Backward(block) {
		if !yield(v) {
			return false
		}
	}
	return true
}

func (x *Index[T]) ascend(b, i int, yield func(T) bool) {
	for ; b < len(x.blocks); b++ {
		for _, v := range x.blocks[b][i:] {
			if !yield(v) {
				return
			}
		}
		i = 0
	}
}

// find returns the place of the first value for which reached returns true: block b, item i.
func (x *Index[T]) find(reached func(T) bool) (b, i int) {
	b = sort.Search(len(x.blocks), func(b int) bool { return reached(x.blocks[b][len(x.blocks[b])-1]) })
	if b < len(x.blocks) {
		i = sort.Search(len(x.blocks[b]), func(i int) bool { return reached(x.blocks[b][i]) })
	}
	return b, i
}
