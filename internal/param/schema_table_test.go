package param

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math/big"
	"net/netip"
	"net/url"
	"os"
	"path/filepath"
	"reflect"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/provost-go/provost/params"
)

// of has one field, whose schema the table shows.
type of[T any] struct {
	V T `json:"v"`
}

func plainField[T any]() reflect.Type { return reflect.TypeFor[of[T]]() }

func taggedField[T any](tag string) reflect.Type {
	return reflect.StructOf([]reflect.StructField{{Name: "V", Type: reflect.TypeFor[T](), Tag: reflect.StructTag(`json:"v" ` + tag)}})
}

type (
	namedText string
	named8    int8
	family    struct {
		Head  string            `json:"head"`
		Kids  []family          `json:"kids"`
		ByKey map[int64]*family `json:"byKey"`
	}
	pairOf[K comparable, V any] struct {
		Key   K `json:"key"`
		Value V `json:"value"`
	}
	outerEmbeds struct {
		address
		*base
		Own int `json:"own"`
	}
	ping struct {
		Pong *pong `json:"pong"`
	}
	pong struct {
		Ping []ping `json:"ping"`
	}
	shaded struct {
		address
		Zip int `json:"zip"`
	}
)

var schemaTable = []struct {
	name string
	typ  reflect.Type
}{
	{"bool", plainField[bool]()},
	{"int", plainField[int]()},
	{"int8", plainField[int8]()},
	{"int16", plainField[int16]()},
	{"int32", plainField[int32]()},
	{"int64", plainField[int64]()},
	{"uint", plainField[uint]()},
	{"uint8", plainField[uint8]()},
	{"uint16", plainField[uint16]()},
	{"uint32", plainField[uint32]()},
	{"uint64", plainField[uint64]()},
	{"float32", plainField[float32]()},
	{"float64", plainField[float64]()},
	{"string", plainField[string]()},
	{"named string", plainField[namedText]()},
	{"named int8", plainField[named8]()},
	{"json.Number", plainField[json.Number]()},
	{"any", plainField[any]()},
	{"json.RawMessage", plainField[json.RawMessage]()},
	{"time.Time", plainField[time.Time]()},
	{"time.Duration", plainField[time.Duration]()},
	{"uuid.UUID", plainField[uuid.UUID]()},
	{"url.URL", plainField[url.URL]()},
	{"*url.URL", plainField[*url.URL]()},
	{"[]byte", plainField[[]byte]()},
	{"[4]byte", plainField[[4]byte]()},
	{"netip.Addr, its own text", plainField[netip.Addr]()},
	{"text by pointer receivers", plainField[level]()},
	{"big.Int, its own JSON", plainField[big.Int]()},
	{"describes itself", plainField[colour]()},
	{"pointer to one that describes itself", plainField[*colour]()},
	{"list of such", plainField[[]colour]()},
	{"*bool", plainField[*bool]()},
	{"**int", plainField[**int]()},
	{"*int8", plainField[*int8]()},
	{"*time.Time", plainField[*time.Time]()},
	{"*time.Duration", plainField[*time.Duration]()},
	{"*any", plainField[*any]()},
	{"*address", plainField[*address]()},
	{"[]string", plainField[[]string]()},
	{"[][]int", plainField[[][]int]()},
	{"[]*uint8", plainField[[]*uint8]()},
	{"[3]bool", plainField[[3]bool]()},
	{"*[]string", plainField[*[]string]()},
	{"[]address", plainField[[]address]()},
	{"map[string]int", plainField[map[string]int]()},
	{"map[string]any", plainField[map[string]any]()},
	{"map[int]bool", plainField[map[int]bool]()},
	{"map[uint8]string", plainField[map[uint8]string]()},
	{"map[uuid.UUID]time.Duration", plainField[map[uuid.UUID]time.Duration]()},
	{"map[time.Time]int", plainField[map[time.Time]int]()},
	{"map[netip.Addr]bool", plainField[map[netip.Addr]bool]()},
	{"map of lists of maps", plainField[map[string][]map[string]float64]()},
	{"struct", plainField[address]()},
	{"struct without fields", plainField[struct{}]()},
	{"struct declared in place", plainField[struct {
		A int
		b int
	}]()},
	{"embedded structs", plainField[outerEmbeds]()},
	{"a field that hides an embedded one", plainField[shaded]()},
	{"generic struct", plainField[pairOf[string, []int]]()},
	{"recursive generic struct", plainField[pairOf[string, *family]]()},
	{"recursive struct", plainField[family]()},
	{"pointer to a recursive struct", plainField[*family]()},
	{"recursive parameters", reflect.TypeFor[family]()},
	{"mutual recursion", plainField[ping]()},
	{"json:\"-\" and a field of that name", reflect.StructOf([]reflect.StructField{
		{Name: "Out", Type: reflect.TypeFor[chan int](), Tag: `json:"-"`},
		{Name: "In", Type: reflect.TypeFor[int](), Tag: `json:"-,"`},
	})},
	{"names without tags", reflect.TypeFor[struct{ Region, Zone string }]()},
	{"omitempty and omitzero", reflect.TypeFor[struct {
		A int       `json:"a,omitempty"`
		B time.Time `json:",omitzero"`
	}]()},
	{"quoted int", reflect.TypeFor[struct {
		V int `json:"v,string" default:"3"`
	}]()},
	{"quoted bool", reflect.TypeFor[struct {
		V bool `json:"v,string"`
	}]()},
	{"quoted float", reflect.TypeFor[struct {
		V *float64 `json:"v,string"`
	}]()},
	{"default of text", taggedField[string](`default:"eu"`)},
	{"default of a number", taggedField[int](`default:"10"`)},
	{"default of a duration", taggedField[time.Duration](`default:"90m"`)},
	{"default of a time", taggedField[time.Time](`default:"2026-03-05T14:00:00+01:00"`)},
	{"default of a pointer", taggedField[*bool](`default:"true"`)},
	{"default null", taggedField[*int](`default:"null"`)},
	{"default of a list", taggedField[[]int](`default:"[1,2]"`)},
	{"default of a struct", taggedField[address](`default:"{\"street\":\"Main\"}"`)},
	{"enum of text", taggedField[string](`enum:"eu,us"`)},
	{"enum of numbers", taggedField[int](`enum:"1,2,3"`)},
	{"enum of durations", taggedField[time.Duration](`enum:"1h,90m"`)},
	{"enum of a pointer", taggedField[*string](`enum:"s,m"`)},
	{"enum of items", taggedField[[]string](`enum:"a,b"`)},
	{"title and description", taggedField[string](`title:"Region" description:"Where <b>to</b> look & for what"`)},
	{"description of a recursive struct", taggedField[family](`description:"Who"`)},
	{"minimum and maximum", taggedField[int](`minimum:"1" maximum:"100"`)},
	{"minimum of a small integer", taggedField[uint8](`minimum:"1"`)},
	{"exclusive bounds", taggedField[float64](`exclusiveMinimum:"0" exclusiveMaximum:"1"`)},
	{"multipleOf", taggedField[json.Number](`multipleOf:"0.01"`)},
	{"bounds behind a pointer", taggedField[*int](`minimum:"0" maximum:"9"`)},
	{"minLength and maxLength", taggedField[string](`minLength:"1" maxLength:"20"`)},
	{"pattern", taggedField[string](`pattern:"^[a-z]+$"`)},
	{"format", taggedField[string](`format:"email"`)},
	{"format of a URL", taggedField[url.URL](`format:"uri"`)},
	{"minItems and maxItems", taggedField[[]int](`minItems:"1" maxItems:"3"`)},
	{"uniqueItems", taggedField[[]string](`uniqueItems:"true"`)},
	{"required", taggedField[string](`required:"true"`)},
	{"examples", taggedField[string](`examples:"eu, us"`)},
	{"examples of a list", taggedField[[]int](`examples:"[[1,2],[]]"`)},
	{"examples of durations", taggedField[time.Duration](`examples:"1h,90m"`)},
	{"all at once", taggedField[int](`title:"T" description:"D" default:"4" enum:"2,4" minimum:"1" maximum:"9" multipleOf:"2" required:"true" examples:"2,4"`)},
	{"Params", reflect.TypeFor[params.Params]()},
}

// TestSchemaTable compares the schemas of many types with a golden file.
func TestSchemaTable(t *testing.T) {
	var got bytes.Buffer
	for _, row := range schemaTable {
		text, err := writeSchema(row.typ, nil)
		if err != nil {
			t.Errorf("%s: %v", row.name, err)
			continue
		}
		text = bytes.TrimPrefix(text, []byte(`{"$schema":"http://json-schema.org/draft-07/schema#",`))
		fmt.Fprintf(&got, "%s\n\t{%s\n", row.name, text)
	}
	file := filepath.Join("testdata", "schema", "types.txt")
	if *update {
		if err := os.WriteFile(file, got.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got.Bytes(), want) {
		t.Errorf("got\n%s\nwant\n%s", got.Bytes(), want)
	}
}
