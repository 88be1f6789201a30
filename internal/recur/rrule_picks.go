package recur

import "slices"

// picks are the positions of BYSETPOS.
type picks struct {
	begin []int // counted from the beginning, 0 is the first; ascending
	end   []int // counted from the end, 1 is the last; ascending
}

// newPicks returns the positions that a period with at most most members can have, or nil if there
// are none.
func newPicks(positions []int, most int) *picks {
	p := new(picks)
	for _, n := range positions {
		switch {
		case n > 0 && n <= most:
			p.begin = append(p.begin, n-1)
		case n < 0 && -n <= most:
			p.end = append(p.end, -n)
		}
	}
	if len(p.begin)+len(p.end) == 0 {
		return nil
	}
	slices.Sort(p.begin)
	slices.Sort(p.end)
	return p
}

// next returns the first picked one of count members, from member n on.
func (p *picks) next(n, count int) (int, bool) {
	found := count
	if i, _ := slices.BinarySearch(p.begin, n); i < len(p.begin) {
		found = min(found, p.begin[i])
	}
	if i, _ := slices.BinarySearch(p.end, count-n+1); i > 0 {
		found = min(found, count-p.end[i-1])
	}
	return found, found < count
}

// prev returns the last picked one of count members, up to member n.
func (p *picks) prev(n, count int) (int, bool) {
	found := -1
	if i, _ := slices.BinarySearch(p.begin, min(n, count-1)+1); i > 0 {
		found = max(found, p.begin[i-1])
	}
	if i, _ := slices.BinarySearch(p.end, max(count-n, 1)); i < len(p.end) {
		found = max(found, count-p.end[i])
	}
	return found, found >= 0
}

// of returns the picked members of a list.
func (p *picks) of(list []int) (picked []int) {
	for n, ok := p.next(0, len(list)); ok; n, ok = p.next(n+1, len(list)) {
		picked = append(picked, list[n])
	}
	return picked
}
