package provost

import (
	"cmp"
	"context"
	"fmt"
	"iter"
	"strconv"
	"strings"

	"github.com/google/uuid"
)

// Page is a stretch of a list.
type Page[T any] struct {
	Items []T    `json:"items"`
	Next  string `json:"next,omitempty"` // cursor of the next page; "" on the last
}

// pageSize is the number of items that a filter's Limit asks for.
func pageSize(limit int) int { return min(cmp.Or(max(0, limit), defaultPage), MaxPage) }

// pageCursor is where a page of runs or skips ended: a sort key and an ID, so that what is added meanwhile shifts nothing.
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
	return fmt.Errorf("provost: cursor %q is not one that a page gave; pass Page.Next as it came", text)
}

func errBadSort(s RunSort) error {
	return fmt.Errorf("provost: unknown sort %q; use NewestFirst, OldestFirst, SoonestDue or LatestEnded", s)
}

// pages walks a list to its end, page by page; it stops at the first error, which it yields.
func pages[T any](ctx context.Context, list func(ctx context.Context, cursor string) (Page[T], error)) iter.Seq2[T, error] {
	return func(yield func(T, error) bool) {
		cursor := ""
		for {
			page, err := list(ctx, cursor)
			if err != nil {
				var none T
				yield(none, err)
				return
			}
			for _, item := range page.Items {
				if !yield(item, nil) {
					return
				}
			}
			if cursor = page.Next; cursor == "" {
				return
			}
		}
	}
}
