package provost

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

	"github.com/provost-go/provost/internal/guard"
)

// redactor puts the mask where the secrets of a run turn up in its texts. A run and its child runs share one. The zero redactor
// knows no secrets and costs one load for each text.
type redactor struct {
	replacer atomic.Pointer[strings.Replacer] // nil: no secrets

	// mu guards what follows; nothing blocks under it.
	mu    sync.Mutex
	texts map[string]struct{}
	size  int
}

// Bounds on the texts that are looked for. Shorter ones would turn up by chance.
const (
	minRedacted  = 4
	maxRedacted  = 1000
	maxRedaction = 1 << 20 // bytes of them together
)

// learn adds secrets, which are plain values.
func (r *redactor) learn(secrets []any) {
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
	// Where one text begins with another, the longer one has to be tried first.
	texts := slices.SortedFunc(maps.Keys(r.texts), func(a, b string) int { return len(b) - len(a) })
	pairs := make([]string, 0, 2*len(texts))
	for _, text := range texts {
		pairs = append(pairs, text, mask)
	}
	r.replacer.Store(strings.NewReplacer(pairs...))
}

// add takes the texts of a secret, or of all that is in it. The caller holds mu.
func (r *redactor) add(v any) {
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

// addForms adds a text as it is and as it is often written.
func (r *redactor) addForms(text string) {
	r.addText(text)
	r.addText(strings.Trim(strconv.Quote(text), `"`))
	r.addText(url.QueryEscape(text))
	r.addText(url.PathEscape(text))
	if inJSON, err := json.Marshal(text); err == nil {
		r.addText(strings.Trim(string(inJSON), `"`))
	}
}

func (r *redactor) addText(text string) {
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

// knows says that there is something to look for.
func (r *redactor) knows() bool { return r.replacer.Load() != nil }

// text is s with the mask in place of secrets.
func (r *redactor) text(s string) string {
	if replacer := r.replacer.Load(); replacer != nil {
		return replacer.Replace(s)
	}
	return s
}

// error is err unless its text has a secret, which its type is then no longer worth.
func (r *redactor) error(err error) error {
	if !r.knows() || err == nil {
		return err
	}
	before := errorText(err)
	if after := r.text(before); after != before {
		return errors.New(after)
	}
	return err
}

// result is the JSON of a result with the mask in place of secrets in its texts. Numbers stay as they are.
func (r *redactor) result(data json.RawMessage) (json.RawMessage, error) {
	if !r.knows() || len(data) == 0 {
		return data, nil
	}
	v, err := guard.Parse(data, resultLimits)
	if err != nil {
		return nil, err
	}
	return marshal(r.value(v))
}

func (r *redactor) value(v any) any {
	switch v := v.(type) {
	case string:
		return r.text(v)
	case []any:
		for i := range v {
			v[i] = r.value(v[i])
		}
	case map[string]any:
		redacted := make(map[string]any, len(v))
		for key, item := range v {
			redacted[r.text(key)] = r.value(item)
		}
		return redacted
	}
	return v
}

// record is a line of the log without secrets.
func (r *redactor) record(line slog.Record) slog.Record {
	if !r.knows() {
		return line
	}
	redacted := slog.NewRecord(line.Time, line.Level, r.text(line.Message), line.PC)
	line.Attrs(func(a slog.Attr) bool {
		redacted.AddAttrs(r.attr(a))
		return true
	})
	return redacted
}

func (r *redactor) attrs(attrs []slog.Attr) []slog.Attr {
	if !r.knows() {
		return attrs
	}
	redacted := make([]slog.Attr, len(attrs))
	for i, a := range attrs {
		redacted[i] = r.attr(a)
	}
	return redacted
}

func (r *redactor) attr(a slog.Attr) slog.Attr {
	a.Key = r.text(a.Key)
	switch a.Value = a.Value.Resolve(); a.Value.Kind() {
	case slog.KindGroup:
		a.Value = slog.GroupValue(r.attrs(a.Value.Group())...)
	case slog.KindAny:
		a.Value = r.any(a.Value)
	case slog.KindBool, slog.KindTime:
	default:
		if before := a.Value.String(); before != r.text(before) {
			a.Value = slog.StringValue(r.text(before))
		}
	}
	return a
}

// any keeps a value as it is unless one of the ways in which handlers write it has a secret.
func (r *redactor) any(v slog.Value) slog.Value {
	for _, before := range written(v.Any()) {
		if after := r.text(before); after != before {
			return slog.StringValue(after)
		}
	}
	return v
}

// written lists the ways in which handlers write v: those of slog's text form, then those of its JSON.
func written(v any) []string {
	forms := []string{fmt.Sprintf("%+v", v), jsonText(v)}
	switch v := v.(type) {
	case encoding.TextMarshaler:
		forms = append(forms, marshaledText(v))
	case error:
		forms = append(forms, errorText(v))
	}
	if t := reflect.TypeOf(v); t != nil && t.Kind() == reflect.Slice && t.Elem().Kind() == reflect.Uint8 {
		forms = append(forms, string(reflect.ValueOf(v).Bytes()))
	}
	return forms
}

func marshaledText(v encoding.TextMarshaler) (text string) {
	defer func() {
		if recover() != nil { // then no handler writes it either
			text = ""
		}
	}()
	data, err := v.MarshalText()
	if err != nil {
		return err.Error()
	}
	return string(data)
}

// jsonText is v in JSON, "" if it has no such form.
func jsonText(v any) (text string) {
	defer func() {
		if recover() != nil { // a MarshalJSON that panics: then no handler writes it either
			text = ""
		}
	}()
	data, err := json.Marshal(v)
	if err != nil {
		return ""
	}
	return string(data)
}

// shelter takes the parameters of a child run, given as value and encoded as params, and learns their secrets. shown is for
// code, which can reveal them; stored is for the store, which gives them to nobody.
func (x *execution) shelter(value reflect.Value, params Params) (shown, stored Params) {
	if len(params) == 0 || !mayHide(value.Type(), true) {
		return params, params
	}
	var secrets []any
	wrap := func(plain any) any {
		secrets = append(secrets, plain)
		return NewSecret(plain)
	}
	shown, stored = params.clone(), params.clone()
	hideSecrets(value, map[string]any(shown), wrap)
	hideSecrets(value, map[string]any(stored), masking)
	x.redactor().learn(secrets)
	if runner := x.server.upstream; runner != nil && len(secrets) > 0 {
		runner.tell(frameLearn, childSecrets{secrets}) // it redacts what is printed
	}
	return shown, stored
}
