package param

import (
	"encoding/json"
	"reflect"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/xeipuuv/gojsonschema"

	"github.com/provost-go/provost/internal/jsonschema"
	"github.com/provost-go/provost/params"
)

// tenParams has ten fields that encoding/json can read as well.
type tenParams struct {
	Region string    `json:"region" enum:"eu,us,apac" default:"eu" required:"true"`
	Since  time.Time `json:"since"`
	Limit  int       `json:"limit" minimum:"1" maximum:"1000" default:"10"`
	Name   string    `json:"name" minLength:"1" maxLength:"40" pattern:"^[a-z-]+$"`
	DryRun bool      `json:"dryRun"`
	Ratio  float64   `json:"ratio" minimum:"0" exclusiveMaximum:"1"`
	ID     uuid.UUID `json:"id"`
	Hosts  []string  `json:"hosts" maxItems:"10"`
	Depth  *int      `json:"depth" minimum:"0"`
	Owner  struct {
		Mail string `json:"mail" format:"email"`
		Team string `json:"team"`
	} `json:"owner"`
}

const tenText = `{"region":"us","since":"2026-03-05T14:00:00Z","limit":250,"name":"nightly-report","dryRun":true,"ratio":0.25,` +
	`"id":"0197a5c4-71c2-7b3e-9d0f-2a5b8c1e4f60","hosts":["a.example.com","b.example.com"],"depth":3,"owner":{"mail":"ada@example.com","team":"finance"}}`

// BenchmarkTenFields checks and decodes one text, or the values parsed from it, in all available
// ways. "library" is what one would write without provost.
func BenchmarkTenFields(b *testing.B) {
	text, err := schemaFor(reflect.TypeFor[tenParams]())
	if err != nil {
		b.Fatal(err)
	}
	schema, err := Compile(text)
	if err != nil {
		b.Fatal(err)
	}
	plain, err := jsonschema.Parse([]byte(tenText), jsonschema.ValueLimits)
	if err != nil {
		b.Fatal(err)
	}
	given := params.Params(plain.(map[string]any))
	library, err := gojsonschema.NewSchema(gojsonschema.NewBytesLoader(text))
	if err != nil {
		b.Fatal(err)
	}
	input := []byte(tenText)
	var want tenParams
	if err := json.Unmarshal(input, &want); err != nil {
		b.Fatal(err)
	}
	for _, way := range []struct {
		name string
		read func(dst *tenParams) bool
	}{
		{"text/one pass", func(dst *tenParams) bool { return fastScanJSON(string(input), dst) }},
		{"text/library", func(dst *tenParams) bool {
			result, err := library.Validate(gojsonschema.NewBytesLoader(input))
			return err == nil && result.Valid() && json.Unmarshal(input, dst) == nil
		}},
		{"params/one pass", func(dst *tenParams) bool { return DecodeChecked(given, schema, true, dst) == nil }},
		{"params/two passes", func(dst *tenParams) bool { return DecodeChecked(given, schema, false, dst) == nil }},
		{"params/library", func(dst *tenParams) bool {
			result, err := library.Validate(gojsonschema.NewGoLoader(given))
			return err == nil && result.Valid() && Decode(given, dst) == nil
		}},
	} {
		b.Run(way.name, func(b *testing.B) {
			b.ReportAllocs()
			var dst tenParams
			for b.Loop() {
				dst = tenParams{}
				if !way.read(&dst) {
					b.Fatal("refused")
				}
			}
			if !reflect.DeepEqual(dst, want) {
				b.Fatalf("got %+v, want %+v", dst, want)
			}
		})
	}
}
