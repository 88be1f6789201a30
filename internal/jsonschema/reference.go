package jsonschema

import (
	_ "embed"
	"fmt"
	"net/url"
	"strconv"
	"strings"
	"sync"
)

// metaschemaID is the only document outside a schema that references may point to.
const metaschemaID = "http://json-schema.org/draft-07/schema"

//go:embed draft-07.json
var metaschemaText []byte

var metaschema = sync.OnceValues(func() (any, error) { return Parse(metaschemaText, Limits{}) })

// reference is a reference that has not been resolved yet.
type reference struct {
	from *node
	ref  string
	at   string
}

// lookup resolves the references of a document. Addresses are only compared; nothing is ever
// fetched.
type lookup struct {
	at       map[string]*resource // by location in the document
	resource map[string]*resource // by address
}

// resource is the document, or a schema in it that has an address of its own.
type resource struct {
	address *url.URL
	top     location
	anchors map[string]location // by name
}

// location is a value in the document and the JSON pointer to it.
type location struct {
	value any
	at    string
}

func newLookup(document any) lookup {
	l := lookup{at: map[string]*resource{}, resource: map[string]*resource{}}
	l.add(&url.URL{}, location{document, ""})
	return l
}

func (l *lookup) add(address *url.URL, top location) {
	r := &resource{address: address, top: top, anchors: map[string]location{}}
	l.at[top.at], l.resource[address.String()] = r, r
}

// around returns the resource that contains a location.
func (l *lookup) around(at string) *resource {
	for len(l.at) > 1 {
		if r := l.at[at]; r != nil {
			return r
		}
		i := strings.LastIndexByte(at, '/')
		if i < 0 {
			break
		}
		at = at[:i]
	}
	return l.at[""]
}

// addID records the $id of a schema. As in draft-07, a $id that is a fragment is a name within the
// resource that contains the schema, and any other is an address.
func (l *lookup) addID(v any, at string, schema map[string]any) error {
	if at == metaschemaID { // it is recorded already
		return nil
	}
	id, _ := v.(string)
	if name, ok := strings.CutPrefix(id, "#"); ok {
		return l.addAnchor(name, at, schema)
	}
	address, err := l.around(at).address.Parse(strings.TrimSuffix(id, "#"))
	if err != nil || id == "" || address.Fragment != "" {
		return refuse(at+"/$id", "expected a URI without fragment, got %s", describe(v))
	}
	if l.resource[address.String()] != nil || address.String() == metaschemaID {
		return refuse(at+"/$id", "%q names two schemas; rename one of them", id)
	}
	l.add(address, location{schema, at})
	return nil
}

func (l *lookup) addAnchor(v any, at string, schema map[string]any) error {
	name, _ := v.(string)
	if name == "" || strings.ContainsAny(name, "#/") {
		return refuse(at, "a schema name is text without # and /, got %s", describe(v))
	}
	anchors := l.around(at).anchors
	if _, ok := anchors[name]; ok {
		return refuse(at, "%q names two schemas; rename one of them", name)
	}
	anchors[name] = location{schema, at}
	return nil
}

// resolve returns what a reference points to.
func (l *lookup) resolve(from reference) (to location, err error) {
	address, fragment, _ := strings.Cut(from.ref, "#")
	if fragment, err = url.PathUnescape(fragment); err != nil {
		return location{}, fmt.Errorf("%q is not a valid reference", from.ref)
	}
	in := l.around(from.at)
	if address != "" {
		full, err := in.address.Parse(address)
		if err != nil {
			return location{}, fmt.Errorf("%q is not a valid reference", from.ref)
		}
		if in, err = l.find(full.String()); err != nil {
			return location{}, err
		}
		if in == nil {
			return location{}, fmt.Errorf(`%q points outside the schema; copy its target into "definitions" and refer to "#/definitions/..."`, from.ref)
		}
	}
	var ok bool
	if fragment == "" || fragment[0] == '/' {
		to, ok = in.top.point(fragment)
	} else {
		to, ok = in.anchors[fragment]
	}
	if !ok {
		return location{}, fmt.Errorf("%q does not exist in the schema", from.ref)
	}
	return to, nil
}

// find returns the resource with an address, or nil if the document has none. It adds the
// metaschema on first use.
func (l *lookup) find(address string) (*resource, error) {
	if address == metaschemaID && l.resource[address] == nil {
		document, err := metaschema()
		if err != nil {
			return nil, err
		}
		full, err := url.Parse(address)
		if err != nil {
			return nil, err
		}
		l.add(full, location{document, metaschemaID})
	}
	return l.resource[address], nil
}

// point follows a JSON pointer.
func (p location) point(pointer string) (location, bool) {
	if pointer == "" {
		return p, true
	}
	for token := range strings.SplitSeq(pointer[1:], "/") {
		var ok bool
		switch v := p.value.(type) {
		case map[string]any:
			p.value, ok = v[unescape(token)]
		case []any:
			i, err := strconv.Atoi(token)
			if ok = err == nil && 0 <= i && i < len(v) && strconv.Itoa(i) == token; ok {
				p.value = v[i]
			}
		}
		if !ok {
			return location{}, false
		}
		p.at += "/" + token
	}
	return p, true
}
