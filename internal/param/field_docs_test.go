package param

import (
	"encoding/json"
	"reflect"
	"strings"
	"testing"
	"testing/fstest"
	"time"
)

type (
	exportParams struct {
		Region, Zone string
		Since        time.Time `description:"The tag"`
		exportTarget
		Retry struct {
			Limit int
		}
		Boxes  []exportBox[int]
		ByName map[string]*struct{ Deep string }
		Bare   int
	}
	exportTarget     struct{ Bucket string }
	exportBox[T any] struct{ Item T }
)

// documented is the source of the types above, as a user embeds it.
const documented = `package param

type (
	// exportParams are not a field.
	exportParams struct {
		// Region and Zone say where.
		Region, Zone string
		// Not this one.
		Since time.Time
		exportTarget
		Retry struct {
			Limit int // How often at most.
		}
		// What to pack.
		//
		// In order.
		Boxes  []exportBox[int]
		ByName map[string]*struct {
			// Deep inside.
			Deep string
		}
		Bare int
	}
	exportTarget struct {
		Bucket string // Bucket is S3's.
	}
	exportBox[T any] struct {
		Item T // What is in it.
	}
)
`

func TestFieldDocs(t *testing.T) {
	source := fstest.MapFS{
		"broken.go":    {Data: []byte("package param; type exportTarget struct {")},
		"a/other.go":   {Data: []byte("package other\ntype exportTarget struct {\n\tBucket string // Another package's.\n}")},
		"a/older.go":   {Data: []byte("package param\ntype exportTarget struct {\n\tBucket, Key string // Another type.\n}")},
		"b/flow.go":    {Data: []byte(documented)},
		"b/x_test.go":  {Data: []byte("package param\ntype exportTarget struct {\n\tBucket string // A test's.\n}")},
		"b/readme.txt": {Data: []byte("nothing")},
	}
	typ := reflect.TypeFor[exportParams]()
	text, err := SchemaWithDocs(typ, source)
	if err != nil {
		t.Fatal(err)
	}
	again, err := SchemaWithDocs(typ, source)
	if err != nil || string(again) != string(text) {
		t.Errorf("the bytes changed from\n%s\nto\n%s, %v", text, again, err)
	}
	want := map[string]string{
		"Region": "Region and Zone say where.", "Zone": "Region and Zone say where.", "Since": "The tag", "Bucket": "Bucket is S3's.",
		"Retry": "", "Retry.Limit": "How often at most.", "Boxes": "What to pack.\n\nIn order.", "Boxes[].Item": "What is in it.", "ByName": "", "ByName[].Deep": "Deep inside.", "Bare": "",
	}
	got := map[string]string{}
	var root map[string]any
	if err := json.Unmarshal(text, &root); err != nil {
		t.Fatal(err)
	}
	descriptions(root, "", got)
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got %q\nwant %q", got, want)
	}
	// Without comments it is the schema of the type alone.
	plain, err := schemaFor(typ)
	if err != nil {
		t.Fatal(err)
	}
	for _, without := range []fstest.MapFS{nil, {"a.go": {Data: []byte("package other")}}} {
		text, err := SchemaWithDocs(typ, without)
		if err != nil || string(text) != string(plain) {
			t.Errorf("got %s, %v, want %s", text, err, plain)
		}
	}
}

// descriptions collects the description of each field of a schema, by path.
func descriptions(schema map[string]any, path string, found map[string]string) {
	for _, inner := range []string{"items", "additionalProperties"} {
		if schema, ok := schema[inner].(map[string]any); ok {
			descriptions(schema, path+"[]", found)
		}
	}
	properties, _ := schema["properties"].(map[string]any)
	for name, property := range properties {
		at := strings.TrimPrefix(path+"."+name, ".")
		found[at], _ = property.(map[string]any)["description"].(string)
		descriptions(property.(map[string]any), at, found)
	}
}
