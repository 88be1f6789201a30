package rpc

import (
	"bytes"
	"encoding/json"
	"io"
	"math/rand/v2"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/provost-go/provost/internal/instant"
	"github.com/provost-go/provost/internal/wire"
	"github.com/provost-go/provost/params"
	"github.com/provost-go/provost/schedule"
	"github.com/provost-go/provost/store"
	"github.com/provost-go/provost/store/memory"
)

// messageTypes returns every type that an operation of Store takes or returns, and the types of the
// messages themselves.
func messageTypes() []reflect.Type {
	types := []reflect.Type{
		reflect.TypeFor[Call](), reflect.TypeFor[Answer](), reflect.TypeFor[logFilter](), reflect.TypeFor[[]*wireError](),
	}
	st := reflect.TypeFor[store.Store]()
	for i := range st.NumMethod() {
		method := st.Method(i).Type
		for j := 1; j < method.NumIn(); j++ {
			types = append(types, method.In(j))
		}
		for j := range method.NumOut() - 1 {
			types = append(types, method.Out(j))
		}
	}
	return slices.DeleteFunc(types, func(t reflect.Type) bool {
		return t == reflect.TypeFor[[]error]() || t == reflect.TypeFor[store.LogFilter]() // encoded as wireError and logFilter
	})
}

// TestOperations checks that operations has every operation of Store and nothing else.
func TestOperations(t *testing.T) {
	t.Parallel()
	st := reflect.TypeFor[store.Store]()
	for i := range st.NumMethod() {
		if name := st.Method(i).Name; operations[name] == nil {
			t.Errorf("operations lacks %s; add it", name)
		}
	}
	if len(operations) != st.NumMethod() {
		t.Errorf("there are %d operations, the store has %d", len(operations), st.NumMethod())
	}
}

// TestFidelity checks that parameters and results arrive exactly as they were sent, to the last
// nil.
func TestFidelity(t *testing.T) {
	t.Parallel()
	fill := filler{rand.New(rand.NewPCG(1, 2))}
	for _, typ := range messageTypes() {
		for range 200 {
			sent, got := reflect.New(typ), reflect.New(typ)
			fill.value(sent.Elem(), 0)
			encoded, err := wire.Append(nil, sent.Elem().Interface())
			if err != nil {
				t.Fatalf("%s: %v", typ, err)
			}
			if err := wire.Read(encoded, got.Interface()); err != nil {
				t.Fatalf("%s: %v", typ, err)
			}
			if !reflect.DeepEqual(got.Elem().Interface(), sent.Elem().Interface()) {
				t.Fatalf("%s: %+v arrived as %+v", typ, sent.Elem(), got.Elem())
			}
		}
	}
}

// filler makes random values of the types that a store takes and returns.
type filler struct{ *rand.Rand }

var sampleSchedules = []schedule.Schedule{
	schedule.Cron("0 2 * * 1-5").In("Europe/Berlin").CatchUp(schedule.CatchUpAll).CatchUpWindow(90 * time.Minute),
	schedule.Every(90 * time.Second).Anchor(time.Date(2026, 1, 2, 3, 4, 5, 6000, time.UTC)).Jitter(time.Second),
	schedule.RRule("FREQ=MONTHLY;BYDAY=-1FR;BYHOUR=18").Named("payday").Paused(),
	schedule.At(time.Date(2030, 5, 6, 7, 8, 9, 123456000, time.UTC)),
	schedule.Cron("*/5 * * * *").Except("2026-12-25").ExceptOn(schedule.Cron("0 0 1 * *")).WithParameters(params.Params{"a": json.Number("1.50"), "b": []any{nil, "x"}}),
}

var sampleTexts = []string{"", "a", "<&>\u2028 ü 世界 \x00", "not UTF-8: \xff\xfe", `{"a": 1.0}`, "null", "***"}

func (f filler) text() string { return sampleTexts[f.IntN(len(sampleTexts))] }

func (f filler) value(v reflect.Value, depth int) {
	switch v.Type() {
	case reflect.TypeFor[time.Time]():
		at := time.Time{}
		if f.IntN(4) > 0 {
			at = time.UnixMicro(f.Int64N(1<<51) - 1<<50).UTC()
		}
		v.Set(reflect.ValueOf(at))
		return
	case reflect.TypeFor[schedule.Schedule]():
		s := sampleSchedules[f.IntN(len(sampleSchedules))]
		v.Set(reflect.ValueOf(s))
		return
	}
	switch v.Kind() {
	case reflect.Bool:
		v.SetBool(f.IntN(2) == 0)
	case reflect.Int, reflect.Int64:
		v.SetInt(int64(int(f.Uint64() >> f.IntN(64))))
	case reflect.Uint64, reflect.Uint8:
		v.SetUint(f.Uint64() >> (64 - v.Type().Bits()))
	case reflect.String:
		v.SetString(f.text())
	case reflect.Array:
		for i := range v.Len() {
			f.value(v.Index(i), depth+1)
		}
	case reflect.Slice:
		if n := f.IntN(4); n > 0 { // else nil
			v.Set(reflect.MakeSlice(v.Type(), n-1, n-1))
			for i := range v.Len() {
				f.value(v.Index(i), depth+1)
			}
		}
	case reflect.Map:
		if n := f.IntN(4); n > 0 {
			v.Set(reflect.MakeMap(v.Type()))
			for range n - 1 {
				key, item := reflect.New(v.Type().Key()).Elem(), reflect.New(v.Type().Elem()).Elem()
				f.value(key, depth+1)
				f.value(item, depth+1)
				v.SetMapIndex(key, item)
			}
		}
	case reflect.Pointer:
		if f.IntN(3) > 0 {
			v.Set(reflect.New(v.Type().Elem()))
			f.value(v.Elem(), depth+1)
		}
	case reflect.Struct:
		for i := range v.NumField() {
			f.value(v.Field(i), depth+1)
		}
	case reflect.Interface:
		if item := f.any(depth); item != nil {
			v.Set(reflect.ValueOf(item))
		}
	default:
		panic("the test cannot fill a " + v.Type().String())
	}
}

func (f filler) any(depth int) any {
	kinds := 8
	if depth > 6 {
		kinds = 5
	}
	switch f.IntN(kinds) {
	case 0:
		return nil
	case 1:
		return f.IntN(2) == 0
	case 2:
		return f.text()
	case 3:
		return json.Number("9007199254740993.10")
	case 4:
		return json.Number("-0")
	case 5:
		return []any(nil)
	case 6:
		return []any{f.any(depth + 1), f.any(depth + 1)}
	default:
		return map[string]any{f.text(): f.any(depth + 1), "x": f.any(depth + 1)}
	}
}

// TestEncodingRefuses checks that a value that would arrive as another one is not sent.
func TestEncodingRefuses(t *testing.T) {
	t.Parallel()
	deep := any("bottom")
	for range 300 {
		deep = []any{deep}
	}
	for name, v := range map[string]any{
		"secret": params.NewSecret("password"), "int": 1, "float": 1.5, "struct": struct{}{}, "params": params.Params{}, "deep": deep, "channel": make(chan int),
	} {
		p := store.CreateRunParams{Parameters: params.Params{"given": v}}
		if b, err := wire.Append(nil, p); err == nil {
			t.Errorf("%s: sent as %q", name, b)
		} else if !strings.HasPrefix(err.Error(), "Parameters: ") && name != "deep" {
			t.Errorf("%s: error %q does not name the field", name, err)
		}
	}
}

// FuzzBothEnds sends garbage to both ends: nothing panics, and what is decoded as a value can be
// encoded again.
func FuzzBothEnds(f *testing.F) {
	fill := filler{rand.New(rand.NewPCG(3, 4))}
	types := messageTypes()
	for i, typ := range types {
		v := reflect.New(typ)
		fill.value(v.Elem(), 0)
		encoded, err := wire.Append(nil, v.Elem().Interface())
		if err != nil {
			f.Fatal(err)
		}
		f.Add(uint8(i), encoded)
	}
	f.Add(uint8(0), bytes.Repeat([]byte{0xff}, 40))
	var names []string
	for name := range operations {
		names = append(names, name)
	}
	slices.Sort(names)
	f.Fuzz(func(t *testing.T, n uint8, b []byte) {
		v := reflect.New(types[int(n)%len(types)])
		if wire.Read(b, v.Interface()) == nil {
			again, err := wire.Append(nil, v.Elem().Interface())
			if err != nil {
				t.Fatalf("%s: decoded, but not encoded again: %v", v.Type(), err)
			}
			copied := reflect.New(v.Type().Elem())
			if err := wire.Read(again, copied.Interface()); err != nil {
				t.Fatalf("%s: encoded, but not decoded again: %v", v.Type(), err)
			}
		}
		st := memory.New()
		execute(t.Context(), st, Call{Method: names[int(n)%len(names)], Params: b})
		if err := Serve(t.Context(), &script{Reader: bytes.NewReader(b)}, st); err != nil && err.Error() == "" {
			t.Error("Serve returned an error without a text")
		}
		remote, run := Connect(&script{Reader: bytes.NewReader(b)})
		_ = run(t.Context())
		if _, err := remote.GetRun(t.Context(), uuid.New()); err == nil {
			t.Error("GetRun succeeded on a connection that has ended")
		}
	})
}

// script is a stream whose other end sends fixed bytes and ignores what it gets.
type script struct{ io.Reader }

func (*script) Write(p []byte) (int, error) { return len(p), nil }

func (*script) Close() error { return nil }

// BenchmarkEncoding encodes and decodes a thousand claimed and settled runs, in three messages.
func BenchmarkEncoding(b *testing.B) {
	claims := store.ClaimRunsResult{Runs: make([]store.Claim, 1000)}
	updates := store.SettleRunsParams{Updates: make([]store.RunUpdate, 1000)}
	now := instant.Of(time.Now())
	for i := range claims.Runs {
		claims.Runs[i] = store.Claim{
			Lease: store.Lease{RunID: uuid.New(), Token: 1}, DeploymentID: uuid.New(), Name: "quick-otter", Schedule: "hourly", Tags: []string{"a", "b"},
			Parameters: params.Params{"region": "us", "limit": json.Number("100")}, ScheduledTime: now, DueTime: now,
		}
		updates.Updates[i] = store.RunUpdate{Lease: claims.Runs[i].Lease, StartTime: now, Attempt: 1, Version: "v1", State: store.NewState(store.StateCompleted, now, ""), Result: []byte(`{"rows":3}`)}
	}
	b.ReportAllocs()
	for b.Loop() {
		for _, v := range []any{claims, updates, updates} {
			encoded, err := wire.Append(nil, v)
			if err == nil {
				err = wire.Read(encoded, reflect.New(reflect.TypeOf(v)).Interface())
			}
			if err != nil {
				b.Fatal(err)
			}
		}
	}
}
