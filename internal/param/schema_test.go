package param

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/provost-go/provost/params"
)

var update = flag.Bool("update", false, "rewrite the golden schemas")

type reportParams struct {
	Region string    `json:"region" default:"eu" enum:"eu,us" description:"Sales region" title:"Region" required:"true"`
	Since  time.Time `json:"since,omitzero"`
	Limit  int       `json:"limit" minimum:"1" maximum:"100" default:"10"`
	Name   string    `json:"name" minLength:"1" maxLength:"20" pattern:"^[a-z<&>]+$"`
	Mail   string    `json:"mail" format:"email"`
}

type pointerParams struct {
	Int    *int       `json:"int" default:"0"`
	Size   *string    `json:"size" enum:"s,m"`
	At     *time.Time `json:"at"`
	Inner  *address   `json:"inner"`
	Tree   *treeNode  `json:"tree" description:"A tree"`
	Quoted *int       `json:"quoted,string"`
}

type enumParams struct {
	Number int             `json:"number" enum:"1, 2,3" default:"2"`
	Wait   time.Duration   `json:"wait" enum:"1h,90m" default:"1h"`
	List   []string        `json:"list" enum:"a,b" default:"[\"a\"]"`
	Float  float32         `json:"float" enum:"0.5,1"`
	Quoted uint8           `json:"quoted,string" enum:"1,2"`
	Waits  []time.Duration `json:"waits"`
}

type looseParams struct {
	Any    any                   `json:"any" default:"{\"a\":[1]}"`
	Raw    json.RawMessage       `json:"raw"`
	Map    map[string][]int      `json:"map"`
	Number json.Number           `json:"number"`
	Bytes  []byte                `json:"bytes"`
	IDs    map[string]*uuid.UUID `json:"ids"`
}

type recursiveParams struct {
	Next  *recursiveParams `json:"next"`
	First treeNode         `json:"first"`
	Box   box[treeNode]    `json:"box"`
}

type box[T any] struct {
	Inner T      `json:"inner"`
	Boxes []*any `json:"boxes"`
	Self  []box[T]
}

func TestSchemaGolden(t *testing.T) {
	for _, typ := range []reflect.Type{
		reflect.TypeFor[struct{}](), reflect.TypeFor[params.Params](), reflect.TypeFor[reportParams](), reflect.TypeFor[everything](),
		reflect.TypeFor[pointerParams](), reflect.TypeFor[enumParams](), reflect.TypeFor[looseParams](), reflect.TypeFor[recursiveParams](),
	} {
		name := strings.TrimPrefix(strings.TrimPrefix(strings.NewReplacer(" ", "", "{}", "").Replace(typ.String()), "params."), "param.")
		t.Run(name, func(t *testing.T) {
			got, err := writeSchema(typ, nil)
			if err != nil {
				t.Fatal(err)
			}
			if again, _ := writeSchema(typ, nil); !bytes.Equal(got, again) {
				t.Errorf("the bytes changed from\n%s\nto\n%s", got, again)
			}
			var pretty bytes.Buffer
			if err := json.Indent(&pretty, got, "", "  "); err != nil {
				t.Fatal(err)
			}
			pretty.WriteByte('\n')
			file := filepath.Join("testdata", "schema", name+".json")
			if *update {
				if err := os.WriteFile(file, pretty.Bytes(), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(pretty.Bytes(), want) {
				t.Errorf("got\n%s\nwant\n%s", pretty.Bytes(), want)
			}
			if _, err := Compile(got); err != nil {
				t.Error(err)
			}
		})
	}
}

func TestSchemaRefuses(t *testing.T) {
	type half struct{ Level onlyMarshals }
	type inner struct {
		N int `json:"n" default:"x"`
	}
	tests := []struct {
		v            any
		path, reason string
	}{
		{3, "", "int cannot be the parameters of a flow"},
		{[]int{}, "", "cannot be the parameters"},
		{map[string]int{}, "", "cannot be the parameters"},
		{time.Time{}, "", "cannot be the parameters"},
		{new(struct{}), "", "cannot be the parameters"},
		{struct {
			C chan int `json:"c"`
		}{}, "c", "chan int has no form in JSON; leave the field out"},
		{struct{ Deep struct{ F []func() } }{}, "Deep.F[]", "func() has no form"},
		{struct{ M map[string]complex64 }{}, "M[key]", "complex64 has no form"},
		{struct{ E error }{}, "E", "error cannot be read back"},
		{struct{ M map[bool]string }{}, "M", "use map[string]string"},
		{struct{ M map[string]chan int }{}, "M[key]", "chan int has no form"},
		{struct{ L []struct{ P *complex64 } }{}, "L[].P", "complex64 has no form"},
		{struct {
			L []int `minItems:"-1"`
		}{}, "L", `minItems "-1": write a whole number`},
		{struct {
			L [2]int `maxItems:"1"`
		}{}, "L", `maxItems "1": the tag is for slices, this is [2]int`},
		{struct {
			L []int `minItems:"3" maxItems:"2"`
		}{}, "L", "minItems 3 is above maxItems 2"},
		{struct {
			L []int `uniqueItems:"yes"`
		}{}, "L", `uniqueItems "yes": write true or false`},
		{struct {
			L []int `default:"[1,1]" uniqueItems:"true"`
		}{}, "L", "default: "},
		{struct {
			N int `exclusiveMinimum:"x"`
		}{}, "N", `exclusiveMinimum "x": write a number`},
		{struct {
			N int `multipleOf:"0"`
		}{}, "N", "expected a number above 0"},
		{struct {
			N int `default:"3" multipleOf:"2"`
		}{}, "N", "default: expected a multiple of 2"},
		{struct {
			N int8 `maximum:"200"`
		}{}, "N", `maximum "200": it is out of range for int8`},
		{struct {
			N *uint `minimum:"-1"`
		}{}, "N", `minimum "-1": it is out of range for uint`},
		{struct {
			N int `json:",string" minimum:"1"`
		}{}, "N", "the tag is for numbers"},
		{struct {
			S string `examples:"a,abc" maxLength:"2"`
		}{}, "S", `examples "a,abc": abc contradicts`},
		{struct {
			N int `examples:"1,x"`
		}{}, "N", `examples "1,x": expected a whole number`},
		{struct {
			L []int `examples:"1,2"`
		}{}, "L", "write a list in JSON"},
		{struct {
			C colour `minLength:"1"`
		}{}, "C", "the tag is for text"},
		{struct {
			C *colour `maxLength:"1"`
		}{}, "C", "the tag is for text"},
		{struct {
			C []colour `enum:"#000000"`
		}{}, "C", "the tag is for text"},
		{struct {
			C colour `default:"#10"`
		}{}, "C", "default"},
		{struct{ D describedBadly }{}, "D", `"$ref" points outside it`},
		{struct{ L []describedWorse }{}, "L[]", "type"},
		{struct{ D describedByPanic }{}, "D", "panic: no idea"},
		{half{}, "Level", "has MarshalText but no UnmarshalText"},
		{struct {
			N int `default:"x"`
		}{}, "N", `default "x": expected a whole number`},
		{struct {
			N int8 `default:"300"`
		}{}, "N", `default "300": 300 does not fit int8`},
		{struct {
			D time.Duration `default:"1 hour"`
		}{}, "D", `default "1 hour": expected a duration`},
		{struct {
			R string `json:"region" default:"asia" enum:"eu,us"`
		}{}, "region", `default: expected one of "eu", "us"; got the text "asia"`},
		{struct {
			N int `default:"5" maximum:"3"`
		}{}, "N", "default: expected at most 3, got the number 5"},
		{struct {
			N int `minimum:"5" maximum:"3"`
		}{}, "N", "minimum 5 is above maximum 3"},
		{struct{ In inner }{}, "In.n", `default "x"`},
		{struct{ In []inner }{}, "In[].n", `default "x"`},
		{struct {
			N int `enum:"1,x"`
		}{}, "N", `enum "1,x": expected a whole number`},
		{struct {
			M map[string]int `enum:"1"`
		}{}, "M", "the tag is for text, numbers and lists"},
		{struct {
			S string `minimum:"1"`
		}{}, "S", `minimum "1": the tag is for numbers, this is string`},
		{struct {
			L []string `maxLength:"1"`
		}{}, "L", "the tag is for text, this is []string"},
		{struct {
			D time.Duration `maximum:"1"`
		}{}, "D", "the tag is for numbers"},
		{struct {
			N int `minimum:"one"`
		}{}, "N", `minimum "one": write a number`},
		{struct {
			S string `maxLength:"-1"`
		}{}, "S", "write a whole number"},
		{struct {
			S string `pattern:"(?=x)"`
		}{}, "S", "the syntax is RE2"},
		{struct {
			S string `required:"yes"`
		}{}, "S", `required "yes": write true or false`},
	}
	for _, test := range tests {
		t.Run(fmt.Sprintf("%T", test.v), func(t *testing.T) {
			_, err := schemaFor(reflect.TypeOf(test.v))
			refused(t, err, test.path, test.reason)
		})
	}
}

type describedBadly string

func (describedBadly) JSONSchema() map[string]any {
	return map[string]any{"items": map[string]any{"$ref": "#/definitions/x"}}
}

type describedWorse string

func (describedWorse) JSONSchema() map[string]any { return map[string]any{"type": "strnig"} }

type describedByPanic string

func (describedByPanic) JSONSchema() map[string]any { panic("no idea") }

// onlyMarshals can be encoded, but not decoded.
type onlyMarshals struct{ _ int }

func (onlyMarshals) MarshalText() ([]byte, error) { return nil, nil }

func compiledFor[P any](t testing.TB) *Schema {
	t.Helper()
	text, err := schemaFor(reflect.TypeFor[P]())
	if err != nil {
		t.Fatal(err)
	}
	v, err := Compile(text)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func TestValidate(t *testing.T) {
	v := compiledFor[reportParams](t)
	if err := v.Validate(params.Params{"region": "us", "since": time.Now(), "limit": 5}); err != nil {
		t.Error(err)
	}
	err := v.Validate(params.Params{"limit": 500, "since": "yesterday", "nmae": "x"})
	want := `parameter limit: expected at most 100, got the number 500
parameter nmae: is not a parameter here; did you mean name?
parameter region: is required and missing; add one of "eu", "us"
parameter since: expected the format date-time, such as "2026-03-05T14:00:00+01:00"; got the text "yesterday"`
	if err == nil || err.Error() != want {
		t.Errorf("got %v, want %s", err, want)
	}
	refused(t, err, "limit", "at most 100")
	refused(t, v.Validate(nil), "region", "is required")
	refused(t, v.Validate(params.Params{"limit": json.Number("1e5000000")}), "limit", "exponent")

	if err := v.ValidatePartial(nil); err != nil {
		t.Error(err)
	}
	if err := v.ValidatePartial(params.Params{"limit": 5}); err != nil {
		t.Error(err)
	}
	refused(t, v.ValidatePartial(params.Params{"limit": "5"}), "limit", "write 5 without quotes")
}

// openParams is a map with a schema of its own, as a flow's parameters.
type openParams map[string]any

func (openParams) JSONSchema() map[string]any {
	return map[string]any{"type": "object", "required": []string{"n"}, "properties": map[string]any{"n": map[string]any{"type": "integer"}}}
}

func TestParametersThatDescribeThemselves(t *testing.T) {
	text, err := schemaFor(reflect.TypeFor[openParams]())
	want := `{"$schema":"http://json-schema.org/draft-07/schema#","properties":{"n":{"type":"integer"}},"required":["n"],"type":"object"}`
	if err != nil || string(text) != want {
		t.Errorf("got %s, %v, want %s", text, err, want)
	}
	v := compiledFor[openParams](t)
	for _, derived := range []bool{true, false} {
		var p openParams
		if err := DecodeChecked(params.Params{"n": json.Number("1"), "more": true}, v, derived, &p); err != nil || p["n"] != json.Number("1") {
			t.Errorf("got %v, %v", p, err)
		}
		refused(t, DecodeChecked(params.Params{"n": "x"}, v, derived, &p), "n", "expected a whole number")
		refused(t, DecodeChecked(nil, v, derived, &p), "n", "is required")
	}
}

func TestDecodeJSON(t *testing.T) {
	decode := func(text string) (p reportParams, err error) {
		err = DecodeJSON([]byte(text), &p)
		return p, err
	}
	p, err := decode(`{"region":"us","limit":1e1}`) // spelled in an unusual way
	if want := (reportParams{Region: "us", Limit: 10}); err != nil || p != want {
		t.Errorf("got %+v, %v, want %+v", p, err, want)
	}
	for text, want := range map[string]string{
		`{"region":"us"`: "not a single JSON value", `[]`: "expected an object", `{"region":"us","region":"us"}`: "duplicate key",
		`{"region":"us","limit":1.5}`: "limit: expected a whole number", `{}`: "region: is required", `{"region":"us","x":1}`: "x: is not a parameter",
	} {
		if p, err := decode(text); err == nil || !strings.Contains(err.Error(), want) || p != (reportParams{}) {
			t.Errorf("%s: got %+v, %v, want %q", text, p, err, want)
		}
	}
	var broken struct{ C chan int }
	err = DecodeJSON([]byte(`{"C":1}`), &broken)
	refused(t, err, "C", "no form in JSON")
}

func TestSchemaDefaults(t *testing.T) {
	type given struct {
		Region string        `json:"region" default:"eu"`
		Wait   time.Duration `json:"wait" default:"90s"`
		Place  address       `json:"place"`
		Other  *address      `json:"other"`
		None   int           `json:"none"`
	}
	v := compiledFor[given](t)
	got := v.Defaults()
	want := params.Params{"region": "eu", "wait": "1m30s", "place": map[string]any{"zip": "00000"}}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
	got["place"].(map[string]any)["zip"] = "changed"
	if again := v.Defaults(); !reflect.DeepEqual(again, want) {
		t.Errorf("the defaults became %v", again)
	}
	// The defaults of the schema and those of the codec are the same.
	var fromSchema, fromTags given
	if err := Decode(v.Defaults(), &fromSchema); err != nil {
		t.Fatal(err)
	}
	if err := Decode(nil, &fromTags); err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(fromSchema, fromTags) {
		t.Errorf("got %+v from the schema and %+v from the tags", fromSchema, fromTags)
	}
}

func TestSchemasFromOutside(t *testing.T) {
	_, err := Compile([]byte(`{"properties":{"a":{"$ref":"http://localhost/x"}}}`))
	refused(t, err, "properties.a.$ref", "points outside the schema")
	v, err := Compile([]byte(`{"title":"Parameters","type":"object","required":["n"],"properties":{"n":{"title":"n","position":0,"allOf":[{"$ref":"#/definitions/N"}]}},"definitions":{"N":{"enum":[1,2]}}}`))
	if err != nil {
		t.Fatal(err)
	}
	refused(t, v.Validate(params.Params{"n": 3}), "n", "expected one of 1, 2; got the number 3")
	if err := v.Validate(params.Params{"n": 2, "more": true}); err != nil {
		t.Error(err)
	}
}

func TestSchemaCacheIsBounded(t *testing.T) {
	var c schemaCache
	for i := range 100 {
		text := fmt.Appendf(nil, `{"title":"%d%s"}`, i, strings.Repeat("x", 100<<10))
		v := &Schema{}
		c.put(text, v)
		c.put(text, &Schema{})
		if c.get(text) != v {
			t.Fatal("a schema just put is not there")
		}
	}
	held := 0
	for text := range c.known {
		held += len(text)
	}
	if held != c.bytes || held > maxCachedSchemas {
		t.Errorf("holds %d bytes, counted %d, may hold %d", held, c.bytes, maxCachedSchemas)
	}
}

// TestConcurrentUse is for the race detector: many goroutines use a type, its schema and its codec
// for the first time.
func TestConcurrentUse(t *testing.T) {
	type fresh struct {
		Tree  *treeNode `json:"tree"`
		Name  string    `json:"name" maxLength:"3" default:"x"`
		Place struct {
			Zip int `json:"zip" default:"3"`
		} `json:"place"`
	}
	var wg sync.WaitGroup
	for range 16 {
		wg.Go(func() {
			v := compiledFor[fresh](t)
			if err := v.Validate(params.Params{"name": "too long", "tree": map[string]any{"value": 1}}); err == nil {
				t.Error("accepted")
			}
			var p fresh
			if err := Decode(v.Defaults(), &p); err != nil || p.Place.Zip != 3 {
				t.Errorf("got %+v, %v", p, err)
			}
			if _, err := Encode(p); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
}

func TestNothingCostsNothing(t *testing.T) {
	v := compiledFor[struct{}](t)
	var dst struct{}
	allocs := testing.AllocsPerRun(100, func() {
		if v.Validate(nil) != nil || v.ValidatePartial(nil) != nil || v.Defaults() != nil || Decode(nil, &dst) != nil || params.Merge(nil, nil) != nil || params.Params(nil).Clone() != nil {
			t.Fatal("empty parameters are refused")
		}
		if p, err := Normalize(nil); p != nil || err != nil {
			t.Fatal("empty parameters are refused")
		}
	})
	if allocs != 0 {
		t.Errorf("%v allocations", allocs)
	}
}

func BenchmarkSchema(b *testing.B) {
	b.Run("three", func(b *testing.B) {
		v := compiledFor[reportParams](b)
		p := params.Params{"region": "us", "since": "2026-03-05T14:00:00Z", "limit": json.Number("10")}
		b.ReportAllocs()
		for b.Loop() {
			if err := v.Validate(p); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("none", func(b *testing.B) {
		v := compiledFor[struct{}](b)
		b.ReportAllocs()
		for b.Loop() {
			if err := v.Validate(nil); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("compile cached", func(b *testing.B) {
		text, err := schemaFor(reflect.TypeFor[reportParams]())
		if err != nil {
			b.Fatal(err)
		}
		b.ReportAllocs()
		for b.Loop() {
			if _, err := Compile(text); err != nil {
				b.Fatal(err)
			}
		}
	})
}
