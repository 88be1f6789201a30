package sqlstore

import (
	"bytes"
	"database/sql/driver"
	"encoding/json"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/provost-go/provost/params"
	"github.com/provost-go/provost/store"
)

// micros is a time as the tables hold it. Never, NULL there, is the zero time; it comes after every
// other.
type micros int64

const (
	never  micros = math.MaxInt64
	atOnce micros = 0 // a time that has come whatever the clock does
)

func toMicros(t time.Time) micros {
	if t.IsZero() {
		return never
	}
	return micros(t.UnixMicro())
}

func toSpan(d time.Duration) micros { return micros(d.Microseconds()) }

func (m micros) time() time.Time {
	if m == never {
		return time.Time{}
	}
	return time.UnixMicro(int64(m)).UTC()
}

// Scan implements [sql.Scanner].
func (m *micros) Scan(v any) error {
	switch v := v.(type) {
	case nil:
		*m = never
	case int64:
		*m = micros(v)
	default:
		return fmt.Errorf("cannot read a %T as a time", v)
	}
	return nil
}

// Value implements [driver.Valuer].
func (m micros) Value() (driver.Value, error) {
	if m == never {
		return nil, nil
	}
	return int64(m), nil
}

// word is a text that is NULL where it is empty, so that partial indexes leave it out.
type word string

// Scan implements [sql.Scanner].
func (w *word) Scan(v any) error {
	switch v := v.(type) {
	case nil:
		*w = ""
	case string:
		*w = word(v)
	case []byte:
		*w = word(v)
	default:
		return fmt.Errorf("cannot read a %T as a text", v)
	}
	return nil
}

// Value implements [driver.Valuer].
func (w word) Value() (driver.Value, error) {
	if w == "" {
		return nil, nil
	}
	return string(w), nil
}

// optional is an ID that is NULL where it is [uuid.Nil].
func optional(id uuid.UUID) uuid.NullUUID { return uuid.NullUUID{UUID: id, Valid: id != uuid.Nil} }

func flag(set bool) int {
	if set {
		return 1
	}
	return 0
}

// encode gives JSON, "" for what has no value.
func encode[T any](v T, none bool) (string, error) {
	if none {
		return "", nil
	}
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		return "", err
	}
	return strings.TrimSuffix(b.String(), "\n"), nil
}

// decode reads what encode wrote. Numbers stay as they were written.
func decode[T any](text string) (v T, err error) {
	if text == "" {
		return v, nil
	}
	d := json.NewDecoder(strings.NewReader(text))
	d.UseNumber()
	if err := d.Decode(&v); err != nil {
		return v, fmt.Errorf("damaged value %.40q: %w", text, err)
	}
	return v, nil
}

func encodeParams(p params.Params) (string, error) { return encode(p, p == nil) }
func encodeTags(tags []string) (string, error)     { return encode(tags, len(tags) == 0) }

// appendState writes a state behind a history: the commonest write is one more state. Each is a
// line, of its type and its time, and of its name and message, as an array in JSON, if it has a
// message or a name that its type does not give it. It is most of what is written of a run, so it
// is short.
func appendState(history []byte, s store.State) []byte {
	history = append(history, s.Type...)
	history = append(history, ' ')
	history = strconv.AppendInt(history, int64(toMicros(s.Timestamp)), 10)
	if name := plainName(s.Type); s.Name != name || s.Message != "" {
		more, _ := json.Marshal([2]string{s.Name, s.Message}) // strings have a form in JSON, on one line
		history = append(append(history, ' '), more...)
	}
	return append(history, '\n')
}

// plainName is the name of a state that says no more than its type.
func plainName(t store.StateType) string {
	if t == "" {
		return ""
	}
	return string(t[:1]) + strings.ToLower(string(t[1:]))
}

func readHistory(history []byte) (states []store.State, err error) {
	for line := range bytes.Lines(history) {
		kind, rest, _ := strings.Cut(strings.TrimSuffix(string(line), "\n"), " ")
		at, more, named := strings.Cut(rest, " ")
		n, err := strconv.ParseInt(at, 10, 64)
		s := newState(store.StateType(kind), micros(n), "")
		words := [2]string{plainName(s.Type), ""}
		if err == nil && named {
			err = json.Unmarshal([]byte(more), &words)
		}
		if err != nil {
			return nil, fmt.Errorf("damaged state %.60q: %w", line, err)
		}
		s.Name, s.Message = words[0], words[1]
		states = append(states, s)
	}
	return states, nil
}

func newState(t store.StateType, at micros, message string) store.State {
	return store.State{Type: t, Message: message, Timestamp: at.time()}
}

func namedState(t store.StateType, name string, at micros, message string) store.State {
	return store.State{Type: t, Name: name, Message: message, Timestamp: at.time()}
}

// redeclare applies a new declared value. The operator's mark lapses where it differs from the old
// one.
func redeclare(p store.Pause, declared bool) store.Pause {
	if p.Declared != declared {
		p.Operator = nil
	}
	p.Declared = declared
	return p
}

func copied[T any](p *T) *T {
	if p == nil {
		return nil
	}
	c := *p
	return &c
}
