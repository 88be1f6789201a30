package param

import (
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/provost-go/provost/internal/jsonschema"
	"github.com/provost-go/provost/params"
)

// addRules adds the keywords of the tags that constrain values.
func addRules(f *field, schema members) (members, error) {
	if text, ok := f.tag.Lookup("enum"); ok {
		var err error
		if schema, err = addEnum(f, schema, text); err != nil {
			return nil, err
		}
	}
	for _, rule := range tagRules {
		text, ok := f.tag.Lookup(rule.tag)
		if !ok {
			continue
		}
		if kind := f.codec.scalar(); !slices.Contains(rule.kinds, kind) || f.quoted || describesItself(f.codec.pointee().typ) {
			return nil, &params.Error{Reason: fmt.Sprintf("%s %s: the tag is for %s, this is %v; drop it and check the value in the flow", rule.tag, quote(text), rule.about, f.codec.typ)}
		}
		value, fix := rule.read(text)
		if fix == "" && (rule.tag == "minimum" || rule.tag == "maximum") {
			fix = outOfRange(f.codec, text)
		}
		if fix != "" {
			return nil, &params.Error{Reason: fmt.Sprintf("%s %s: %s", rule.tag, quote(text), fix)}
		}
		schema = schema.with(rule.tag, value)
	}
	return schema, nil
}

// tagRules lists the tags that become a keyword of the same name.
var tagRules = []struct {
	tag   string
	about string
	kinds []kind
	read  func(text string) (value any, fix string)
}{
	{"minimum", "numbers", numberKinds, readNumberTag},
	{"maximum", "numbers", numberKinds, readNumberTag},
	{"exclusiveMinimum", "numbers", numberKinds, readNumberTag},
	{"exclusiveMaximum", "numbers", numberKinds, readNumberTag},
	{"multipleOf", "numbers", numberKinds, readNumberTag},
	{"minLength", "text", textKinds, readLengthTag},
	{"maxLength", "text", textKinds, readLengthTag},
	{"pattern", "text", textKinds, readPatternTag},
	{"format", "text and numbers", slices.Concat(textKinds, numberKinds), func(text string) (any, string) { return text, "" }},
	{"minItems", "slices", listKinds, readLengthTag},
	{"maxItems", "slices", listKinds, readLengthTag},
	{"uniqueItems", "slices", listKinds, readFlagTag},
}

var (
	numberKinds = []kind{kindInt, kindUint, kindFloat, kindNumber}
	textKinds   = []kind{kindString, kindText, kindURL}
	listKinds   = []kind{kindSlice}
)

func readNumberTag(text string) (any, string) {
	if jsonschema.CheckNumber(text) != "" {
		return nil, "write a number"
	}
	return json.Number(text), ""
}

// outOfRange returns what is wrong with a bound outside the range of an integer type, or "".
func outOfRange(c *codec, text string) (fix string) {
	c = c.pointee()
	if c.kind != kindInt && c.kind != kindUint {
		return ""
	}
	whole, _, _ := strings.Cut(text, ".") // a bound may have a fraction
	if err := c.decodeNumber(json.Number(whole), reflect.New(c.typ).Elem()); err != nil {
		return fmt.Sprintf("it is out of range for %v; drop the tag or choose a larger type", c.typ)
	}
	return ""
}

func readLengthTag(text string) (any, string) {
	n, err := strconv.ParseUint(text, 10, 31)
	if err != nil {
		return nil, "write a whole number from 0 up"
	}
	return n, ""
}

func readPatternTag(text string) (any, string) {
	if _, err := regexp.Compile(text); err != nil {
		return nil, fmt.Sprintf("%v; the syntax is RE2, which has no look-around and no backreferences", err)
	}
	return text, ""
}

func readFlagTag(text string) (any, string) {
	switch text {
	case "true", "false":
		return text == "true", ""
	}
	return nil, "write true or false"
}

// addEnum adds the values of the enum tag in the form of the field's type. For types that are text
// in JSON it keeps a value's own spelling beside the canonical one, so that "1h" is valid as well
// as "1h0m0s".
func addEnum(f *field, schema members, text string) (members, error) {
	c := f.codec
	isList := c.kind == kindSlice || c.kind == kindArray
	if isList {
		c = c.elem
	}
	var values []any
	add := func(v any) {
		if f.quoted {
			v = fmt.Sprint(v)
		}
		if !slices.Contains(values, v) {
			values = append(values, v)
		}
	}
	isScalar := false
	switch c.scalar() {
	case kindBool, kindInt, kindUint, kindFloat, kindNumber, kindString, kindText, kindURL, kindTime, kindDuration:
		isScalar = !describesItself(c.pointee().typ)
	}
	if !isScalar {
		return nil, &params.Error{Reason: fmt.Sprintf("enum %s: the tag is for text, numbers and lists of them, this is %v; drop it and check the value in the flow", quote(text), f.codec.typ)}
	}
	for each := range strings.SplitSeq(text, ",") {
		each = strings.TrimSpace(each)
		v, err := c.parseText(each)
		if err != nil {
			return nil, &params.Error{Reason: fmt.Sprintf("enum %s: %s", quote(text), reasonOf(err))}
		}
		if _, isText := v.(string); isText && v != each {
			add(each)
		}
		add(v)
	}
	if c.kind == kindPointer {
		values = append(values, nil)
	}
	if !isList {
		return schema.with("enum", values), nil
	}
	for i := range schema {
		if schema[i].key == "items" {
			schema[i].value = schema[i].value.(members).with("enum", values)
		}
	}
	return schema, nil
}

// addExamples adds the values of the examples tag in the form of the field's type. The tag is
// separated by commas if the field is a single number or text, and a JSON list for other types.
func addExamples(f *field, schema members) (members, error) {
	text, ok := f.tag.Lookup("examples")
	if !ok {
		return schema, nil
	}
	refuse := func(err error) (members, error) {
		return nil, &params.Error{Reason: fmt.Sprintf("examples %s: %s", quote(text), reasonOf(err))}
	}
	if schema.has("writeOnly") {
		return refuse(errors.New("a secret's examples can be read in the schema by everybody; remove them"))
	}
	examples, err := readExamples(f.codec, text)
	if err != nil {
		return refuse(err)
	}
	tagged := newRules(f, schema)
	for i, example := range examples {
		if f.quoted {
			examples[i] = fmt.Sprint(example)
		}
		if !f.codec.fastDecode(examples[i], reflect.New(f.codec.typ).Elem(), tagged, new(extent)) {
			return refuse(fmt.Errorf("%v contradicts the type or another tag; change one of them", example))
		}
	}
	return schema.with("examples", examples), nil
}

func readExamples(c *codec, text string) ([]any, error) {
	switch c.scalar() {
	case kindBool, kindInt, kindUint, kindFloat, kindNumber, kindString, kindText, kindURL, kindTime, kindDuration, kindBytes:
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

// secretTag reads the secret tag of a field and marks its schema.
func secretTag(f *field, schema members) (members, error) {
	switch text := f.tag.Get("secret"); {
	case f.secret: // or by the tag of the embedded struct
		return secretSchema(schema, f.codec), nil
	case text == "" || text == "false":
		return schema, nil
	default:
		return nil, &params.Error{Reason: fmt.Sprintf("secret %q: write true or false", text)}
	}
}

// secretSchema marks a schema as that of a secret.
func secretSchema(schema members, c *codec) members {
	if s := c.scalar(); s == kindString || s == kindText && !schema.has("format") {
		schema = schema.with("format", "password")
	}
	return schema.with("writeOnly", true)
}
