package param

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"

	"github.com/provost-go/provost/internal/jsonschema"
	"github.com/provost-go/provost/params"
)

func readFlagTag(text string) (any, string) {
	switch text {
	case "true", "false":
		return text == "true", ""
	}
	return nil, "write true or false"
}

// beyondType says what is wrong with a bound that would let in more than an integer type holds; "" if nothing is.
func beyondType(c *codec, text string) (fix string) {
	c = c.pointee()
	if c.kind != shapeInt && c.kind != shapeUint {
		return ""
	}
	whole, _, _ := strings.Cut(text, ".") // a bound need not be whole
	if err := c.decodeNumber(json.Number(whole), reflect.New(c.typ).Elem()); err != nil {
		return fmt.Sprintf("it is out of range for %v; drop the tag or choose a larger type", c.typ)
	}
	return ""
}

// addExamples lists the values of the tag as the field's type has them. They are separated by commas where the field is one
// number or text; for any other type the tag is a list in JSON.
func addExamples(f *field, schema members) (members, error) {
	text, ok := f.tag.Lookup("examples")
	if !ok {
		return schema, nil
	}
	refuse := func(err error) (members, error) {
		return nil, &params.Error{Reason: fmt.Sprintf("examples %s: %s", quote(text), reasonOf(err))}
	}
	if schema.has("writeOnly") {
		return refuse(errors.New("everybody can read a secret's examples in the schema; remove them"))
	}
	examples, err := readExamples(f.codec, text)
	if err != nil {
		return refuse(err)
	}
	asked := newRules(f, schema)
	for i, example := range examples {
		if f.quoted {
			examples[i] = fmt.Sprint(example)
		}
		if !f.codec.take(examples[i], reflect.New(f.codec.typ).Elem(), asked, new(extent)) {
			return refuse(fmt.Errorf("%v contradicts the type or another tag; change one of them", example))
		}
	}
	return schema.with("examples", examples), nil
}

func readExamples(c *codec, text string) ([]any, error) {
	switch c.scalar() {
	case shapeBool, shapeInt, shapeUint, shapeFloat, shapeNumber, shapeString, shapeText, shapeURL, shapeTime, shapeDuration, shapeBytes:
		var examples []any
		for each := range strings.SplitSeq(text, ",") {
			example, err := c.parseText(strings.TrimSpace(each))
			if err != nil {
				return nil, err
			}
			examples = append(examples, example)
		}
		return examples, nil
	}
	plain, err := jsonschema.Parse([]byte(text), jsonschema.ValueLimits)
	list, isList := plain.([]any)
	if err != nil || !isList {
		return nil, &params.Error{Reason: "write a list in JSON of such values"}
	}
	for _, example := range list {
		if err := c.decode(example, reflect.New(c.typ).Elem(), false); err != nil {
			return nil, err
		}
	}
	return list, nil
}

// selfDescribed is a type that says itself what it takes. Its schema stands in the place of the derived one.
type selfDescribed interface{ JSONSchema() map[string]any }

var selfDescribedType = reflect.TypeFor[selfDescribed]()

func describesItself(t reflect.Type) bool {
	return t.Kind() != reflect.Pointer && t.Kind() != reflect.Interface && reflect.PointerTo(t).Implements(selfDescribedType)
}

// ownSchema is what a type says of itself, nil if it says nothing. Its keys are sorted.
func ownSchema(t reflect.Type) (_ members, err error) {
	if !describesItself(t) {
		return nil, nil
	}
	defer Recover(&err)
	described := reflect.New(t).Interface().(selfDescribed).JSONSchema()
	text, err := json.Marshal(described)
	if err != nil {
		return nil, &params.Error{Reason: fmt.Sprintf("JSONSchema of %v: %v", t, err)}
	}
	plain, err := jsonschema.Parse(text, jsonschema.Limits{Bytes: jsonschema.MaxSchema, Depth: jsonschema.MaxDepth, Numbers: true})
	if err != nil {
		return nil, &params.Error{Reason: fmt.Sprintf("JSONSchema of %v: %v", t, err)}
	}
	if refers(plain) {
		return nil, &params.Error{Reason: fmt.Sprintf(`JSONSchema of %v: "$ref" points outside it, into the schema that contains it; write the target in its place`, t)}
	}
	own := members{}
	object, _ := plain.(map[string]any)
	for _, key := range slices.Sorted(maps.Keys(object)) {
		if key != "$schema" && key != "$id" {
			own = append(own, member{key, object[key]})
		}
	}
	return own, nil
}

// refers says that a schema has a reference somewhere.
func refers(schema any) bool {
	switch schema := schema.(type) {
	case []any:
		return slices.ContainsFunc(schema, refers)
	case map[string]any:
		if _, ok := schema["$ref"].(string); ok {
			return true
		}
		for _, v := range schema {
			if refers(v) {
				return true
			}
		}
	}
	return false
}

// takesObject says that a type can be the parameters of a flow.
func (c *codec) takesObject() bool {
	return c.kind == shapeStruct || c.kind == shapeMap && c.typ.Key().Kind() == reflect.String
}
