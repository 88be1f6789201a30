package store

import (
	"bytes"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
)

// TestNewID makes IDs that sort by the time they were made from, to a quarter of a microsecond, and
// are UUIDs of version 7.
func TestNewID(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 0))
	seen := make(map[uuid.UUID]bool)
	at := time.Date(2026, 3, 2, 9, 0, 0, 0, time.UTC)
	last := NewID(at)
	for range 100_000 {
		at = at.Add(time.Microsecond + time.Duration(random.Int64N(int64(3*time.Millisecond))))
		id := NewID(at)
		if id.Version() != 7 || id.Variant() != uuid.RFC4122 {
			t.Fatalf("%s: got version %d, variant %s", id, id.Version(), id.Variant())
		}
		if bytes.Compare(last[:], id[:]) >= 0 {
			t.Fatalf("%s: got %s, not after %s", at, id, last)
		}
		if seen[id] {
			t.Fatalf("%s was made twice", id)
		}
		seen[id] = true
		last = id
	}
	if id := NewID(at); id == NewID(at) {
		t.Errorf("two IDs of one time are equal: %s", id)
	}
}

// TestNewIDTime reads the Unix time in milliseconds from the first 48 bits.
func TestNewIDTime(t *testing.T) {
	at := time.Date(2026, 3, 2, 9, 0, 0, 123_999_999, time.UTC)
	seconds, nanoseconds := NewID(at).Time().UnixTime()
	if got, want := time.Unix(seconds, nanoseconds).UTC(), at.Truncate(time.Millisecond); got.Sub(want).Abs() >= time.Millisecond {
		t.Errorf("got %s, want %s", got, want)
	}
}

// TestParseHandle splits a handle at its first slash, and refuses one without two names.
func TestParseHandle(t *testing.T) {
	for handle, want := range map[string]uuid.UUID{
		"etl/nightly":   DeploymentID("etl", "nightly"),
		"etl/nightly/a": DeploymentID("etl", "nightly/a"),
	} {
		if got, err := ParseHandle(handle); err != nil || got != want {
			t.Errorf("%q: got %s and error %v, want %s", handle, got, err, want)
		}
	}
	for _, handle := range []string{"", "/", "etl", "etl/", "/nightly"} {
		id, err := ParseHandle(handle)
		if err == nil || !strings.Contains(err.Error(), `"`+handle+`": write it as flow/deployment`) || id != uuid.Nil {
			t.Errorf("%q: got %s and error %v, want an error that names it", handle, id, err)
		}
	}
}
