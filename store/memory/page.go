package memory

import (
	"cmp"
	"fmt"
	"strconv"
	"strings"

	"github.com/google/uuid"

	"github.com/provost-go/provost/store"
)

// idSet is a set of IDs. Nil is an empty one.
type idSet map[uuid.UUID]struct{}

func newIDSet(ids []uuid.UUID) idSet {
	if len(ids) == 0 {
		return nil
	}
	set := make(idSet, len(ids))
	for _, id := range ids {
		set[id] = struct{}{}
	}
	return set
}

func (s idSet) has(id uuid.UUID) bool {
	_, found := s[id]
	return found
}

// pageSize is the number of items that a filter's Limit asks for.
func pageSize(limit int) int { return min(cmp.Or(max(0, limit), store.DefaultPage), store.MaxPage) }

// pageCursor is where a page of runs or skips ended: a sort key and an ID, so that what is added
// meanwhile shifts nothing.
type pageCursor struct {
	key int64
	id  uuid.UUID
}

func (c pageCursor) String() string { return strconv.FormatInt(c.key, 36) + "." + c.id.String() }

func parseCursor(text string) (pageCursor, error) {
	if text == "" {
		return pageCursor{}, nil
	}
	key, id, ok := strings.Cut(text, ".")
	if ok {
		k, err := strconv.ParseInt(key, 36, 64)
		u, err2 := uuid.Parse(id)
		if err == nil && err2 == nil {
			return pageCursor{k, u}, nil
		}
	}
	return pageCursor{}, errBadCursor(text)
}

func errBadCursor(text string) error {
	return fmt.Errorf("provost: cursor %q is not from a page; pass Page.Next unchanged", text)
}

func errBadSort(s store.RunSort) error {
	return fmt.Errorf("provost: unknown sort %q; use NewestFirst, OldestFirst, SoonestDue or LatestEnded", s)
}
