package provost_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"testing/fstest"
	"time"

	"github.com/provost-go/provost"
)

type ExportParams struct {
	// Bucket to write to.
	Bucket string        `json:"bucket" required:"true" minLength:"3"`
	Format string        `json:"format" default:"csv" enum:"csv,json"`
	Window time.Duration `json:"window" default:"24h"`
	Limit  int64         `json:"limit" minimum:"1" examples:"100,9007199254740993"`
}

// The schema of a flow's parameters is derived from their type and its tags; descriptions can come
// from doc comments.
func ExampleFlow_source() {
	export := provost.NewAction("export", func(ctx context.Context, p ExportParams) error { return nil })
	export.Source = fstest.MapFS{"export.go": {Data: []byte(`package provost_test // usually an embed.FS

type ExportParams struct {
	// Bucket to write to.
	Bucket string
	Format string
	Window time.Duration
	Limit  int64
}`)}}
	client := provost.NewClient(provost.NewMemoryStore())
	record, err := client.Deploy(context.Background(), &provost.Deployment{Flow: export, Name: "nightly"})
	if err != nil {
		fmt.Println(err)
		return
	}
	var schema struct {
		Properties map[string]json.RawMessage
		Required   json.RawMessage
	}
	if err := json.Unmarshal(record.ParameterSchema, &schema); err != nil {
		fmt.Println(err)
		return
	}
	for _, name := range []string{"bucket", "format", "window", "limit"} {
		fmt.Println(name, string(schema.Properties[name]))
	}
	fmt.Println("required", string(schema.Required))
	// Output:
	// bucket {"type":"string","minLength":3,"description":"Bucket to write to.","position":0}
	// format {"type":"string","enum":["csv","json"],"default":"csv","position":1}
	// window {"type":["string","integer"],"format":"duration","default":"24h0m0s","position":2}
	// limit {"type":"integer","format":"int64","minimum":1,"examples":[100,9007199254740993],"position":3}
	// required ["bucket"]
}

// Text from outside is checked against the schema, and each problem names its field. Numbers are
// exact.
func ExampleFlow_DecodeJSON() {
	export := provost.NewAction("export", func(ctx context.Context, p ExportParams) error { return nil })
	p, err := export.DecodeJSON([]byte(`{"bucket":"reports","limit":9007199254740993}`))
	fmt.Println(p.Bucket, p.Format, p.Window, p.Limit, err)

	_, err = export.DecodeJSON([]byte(`{"format":"xml","limit":"10","buckte":"reports"}`))
	fmt.Println(err)
	// Output:
	// reports csv 24h0m0s 9007199254740993 <nil>
	// parameter bucket: is required and missing; add text
	// parameter buckte: is not a parameter here; did you mean bucket?
	// parameter format: expected one of "csv", "json"; got the text "xml"
	// parameter limit: expected a whole number, got the text "10"; write 10 without quotes
}

// Celsius describes itself: its schema replaces the one that provost would derive.
type Celsius float64

func (Celsius) JSONSchema() map[string]any {
	return map[string]any{"type": "number", "minimum": -273.15, "description": "Degrees Celsius"}
}

func ExampleFlow_selfDescribed() {
	type OvenParams struct {
		Target Celsius `json:"target" default:"180" examples:"160,220"`
	}
	bake := provost.NewAction("bake", func(ctx context.Context, p OvenParams) error { return nil })
	record, err := provost.NewClient(provost.NewMemoryStore()).Deploy(context.Background(), &provost.Deployment{Flow: bake, Name: "daily"})
	if err != nil {
		fmt.Println(err)
		return
	}
	var pretty bytes.Buffer
	if err := json.Indent(&pretty, record.ParameterSchema, "", "  "); err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(pretty.String())
	_, err = bake.DecodeJSON([]byte(`{"target":-300}`))
	fmt.Println(err)
	// Output:
	// {
	//   "$schema": "http://json-schema.org/draft-07/schema#",
	//   "type": "object",
	//   "properties": {
	//     "target": {
	//       "description": "Degrees Celsius",
	//       "minimum": -273.15,
	//       "type": "number",
	//       "default": 180,
	//       "examples": [
	//         160,
	//         220
	//       ],
	//       "position": 0
	//     }
	//   },
	//   "additionalProperties": false
	// }
	// parameter target: expected at least -273.15, got the number -300
}
