package param

import (
	"encoding"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net/url"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"unicode/utf8"

	"github.com/provost-go/provost/internal/jsonschema"
	"github.com/provost-go/provost/params"
)

// Redactor replaces the secrets of a run by the mask in its texts. A run and its child runs share
// one. The zero Redactor knows no secrets, and then costs one atomic load for each text. It is safe
// for concurrent use.
type Redactor struct {
	replacer atomic.Pointer[strings.Replacer] // nil: no secrets

	// mu guards the fields below. Nothing blocks while holding it.
	mu    sync.Mutex
	texts map[string]struct{}
	size  int
}

// Bounds on the texts to look for. Shorter texts would match by chance.
const (
	minRedacted  = 4
	maxRedacted  = 1000
	maxRedaction = 1 << 20 // bytes, of all texts together
)

// Learn adds secrets, which must be plain values.
func (r *Redactor) Learn(secrets []any) {
	if len(secrets) == 0 {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, secret := range secrets {
		r.add(secret)
	}
	if len(r.texts) == 0 {
		return
	}
	// If one text is a prefix of another, the longer one must be tried first.
	texts := slices.SortedFunc(maps.Keys(r.texts), func(a, b string) int { return len(b) - len(a) })
	pairs := make([]string, 0, 2*len(texts))
	for _, text := range texts {
		pairs = append(pairs, text, params.Mask)
	}
	r.replacer.Store(strings.NewReplacer(pairs...))
}

// add adds the texts of a secret, or of all values in it. The caller must hold mu.
func (r *Redactor) add(v any) {
	switch v := v.(type) {
	case string:
		r.addForms(v)
		if raw, err := base64.StdEncoding.DecodeString(v); err == nil && utf8.Valid(raw) { // a []byte
			r.addForms(string(raw))
		}
	case json.Number:
		r.addText(string(v))
	case []any:
		for _, item := range v {
			r.add(item)
		}
	case map[string]any:
		for _, item := range v {
			r.add(item)
		}
	}
}

// addForms adds a text as it is and in the forms in which it is often written.
func (r *Redactor) addForms(text string) {
	r.addText(text)
	r.addText(strings.Trim(strconv.Quote(text), `"`))
	r.addText(url.QueryEscape(text))
	r.addText(url.PathEscape(text))
	if inJSON, err := json.Marshal(text); err == nil {
		r.addText(strings.Trim(string(inJSON), `"`))
	}
}

func (r *Redactor) addText(text string) {
	if len(text) < minRedacted || len(r.texts) >= maxRedacted || r.size+len(text) > maxRedaction {
		return
	}
	if _, known := r.texts[text]; known {
		return
	}
	if r.texts == nil {
		r.texts = make(map[string]struct{})
	}
	r.texts[text] = struct{}{}
	r.size += len(text)
}

// knows reports whether there are texts to look for.
func (r *Redactor) knows() bool { return r.replacer.Load() != nil }

// Text returns s with the mask in place of secrets.
func (r *Redactor) Text(s string) string {
	if replacer := r.replacer.Load(); replacer != nil {
		return replacer.Replace(s)
	}
	return s
}

// Error returns err, or an error with the redacted text if the text of err contains a secret. The
// type of err is then lost.
func (r *Redactor) Error(err error) error {
	if !r.knows() || err == nil {
		return err
	}
	before := ErrorText(err)
	if after := r.Text(before); after != before {
		return errors.New(after)
	}
	return err
}

// Result returns the JSON of a result with the mask in place of secrets in its texts. It does not
// change numbers.
func (r *Redactor) Result(data json.RawMessage) (json.RawMessage, error) {
	if !r.knows() || len(data) == 0 {
		return data, nil
	}
	v, err := jsonschema.Parse(data, resultLimits)
	if err != nil {
		return nil, err
	}
	return marshal(r.value(v))
}

func (r *Redactor) value(v any) any {
	switch v := v.(type) {
	case string:
		return r.Text(v)
	case []any:
		for i := range v {
			v[i] = r.value(v[i])
		}
	case map[string]any:
		redacted := make(map[string]any, len(v))
		for key, item := range v {
			redacted[r.Text(key)] = r.value(item)
		}
		return redacted
	}
	return v
}

// Record returns a log record without secrets.
func (r *Redactor) Record(line slog.Record) slog.Record {
	if !r.knows() {
		return line
	}
	redacted := slog.NewRecord(line.Time, line.Level, r.Text(line.Message), line.PC)
	line.Attrs(func(a slog.Attr) bool {
		redacted.AddAttrs(r.attr(a))
		return true
	})
	return redacted
}

// Attrs returns attributes without secrets.
func (r *Redactor) Attrs(attrs []slog.Attr) []slog.Attr {
	if !r.knows() {
		return attrs
	}
	redacted := make([]slog.Attr, len(attrs))
	for i, a := range attrs {
		redacted[i] = r.attr(a)
	}
	return redacted
}

func (r *Redactor) attr(a slog.Attr) slog.Attr {
	a.Key = r.Text(a.Key)
	switch a.Value = a.Value.Resolve(); a.Value.Kind() {
	case slog.KindGroup:
		a.Value = slog.GroupValue(r.Attrs(a.Value.Group())...)
	case slog.KindAny:
		a.Value = r.any(a.Value)
	case slog.KindBool, slog.KindTime:
	default:
		if before := a.Value.String(); before != r.Text(before) {
			a.Value = slog.StringValue(r.Text(before))
		}
	}
	return a
}

// any returns v, or a redacted text if one of the forms that handlers write for v contains a
// secret.
func (r *Redactor) any(v slog.Value) slog.Value {
	for _, before := range written(v.Any()) {
		if after := r.Text(before); after != before {
			return slog.StringValue(after)
		}
	}
	return v
}

// written returns the forms that handlers write for v: those of slog's text handler, then those of
// its JSON handler.
func written(v any) []string {
	forms := []string{fmt.Sprintf("%+v", v), jsonText(v)}
	switch v := v.(type) {
	case encoding.TextMarshaler:
		forms = append(forms, MarshaledText(v))
	case error:
		forms = append(forms, ErrorText(v))
	}
	if t := reflect.TypeOf(v); t != nil && t.Kind() == reflect.Slice && t.Elem().Kind() == reflect.Uint8 {
		forms = append(forms, string(reflect.ValueOf(v).Bytes()))
	}
	return forms
}
