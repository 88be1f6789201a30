package jsonschema

import (
	"encoding/json"
	"hash/maphash"
	"maps"
	"math"
	"slices"
)

// same reports whether two JSON values are equal; 1 and 1.0 are. It compares numbers as floats like
// the library, so that the two agree, even under "not".
func same(x, y any, b *budget) bool {
	b.spend(1)
	switch x := x.(type) {
	case nil, bool, string:
		return x == y
	case json.Number:
		other, ok := y.(json.Number)
		return ok && (x == other || floatBits(x) == floatBits(other))
	case []any:
		defer b.leave()
		other, ok := y.([]any)
		return b.enter() && ok && slices.EqualFunc(x, other, func(x, y any) bool { return same(x, y, b) })
	case map[string]any:
		defer b.leave()
		other, ok := y.(map[string]any)
		return b.enter() && ok && maps.EqualFunc(x, other, func(x, y any) bool { return same(x, y, b) })
	}
	return false
}

var hashSeed = maphash.MakeSeed()

// distinct reports whether no two items are equal. It returns false once the budget is spent.
func distinct(list []any, b *budget) bool {
	seen := make(map[uint64]int, len(list))
	for i, item := range list {
		sum := hash(item, b)
		if b.spent() {
			return false
		}
		if j, ok := seen[sum]; ok && same(item, list[j], b) {
			return false
		}
		seen[sum] = i
	}
	return true
}

// hash returns a hash that is equal for equal values.
func hash(v any, b *budget) uint64 {
	b.spend(1)
	switch v := v.(type) {
	case bool:
		return maphash.Comparable(hashSeed, v)
	case string:
		b.spend(len(v) / 256)
		return maphash.String(hashSeed, v)
	case json.Number:
		return maphash.Comparable(hashSeed, floatBits(v))
	case []any:
		return hashList(v, b)
	case map[string]any:
		return hashObject(v, b)
	}
	return 0
}

func hashList(list []any, b *budget) uint64 {
	defer b.leave()
	sum := uint64(len(list))
	if b.enter() {
		for _, item := range list {
			sum = maphash.Comparable(hashSeed, [2]uint64{sum, hash(item, b)})
		}
	}
	return sum
}

func hashObject(m map[string]any, b *budget) uint64 {
	defer b.leave()
	sum := ^uint64(len(m))
	if b.enter() {
		for key, item := range m { // independent of the order
			sum += maphash.Comparable(hashSeed, [2]uint64{maphash.String(hashSeed, key), hash(item, b)})
		}
	}
	return sum
}

func floatBits(number json.Number) uint64 {
	f, _ := number.Float64()
	return math.Float64bits(f)
}
