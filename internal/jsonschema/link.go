package jsonschema

import (
	_ "embed"
	"fmt"
	"net/url"
	"strconv"
	"strings"
	"sync"
)

// metaschemaID is the one document outside of a schema that references may lead to.
const metaschemaID = "http://json-schema.org/draft-07/schema"

//go:embed draft-07.json
var metaschemaText []byte

var metaschema = sync.OnceValues(func() (any, error) { return Parse(metaschemaText, Limits{}) })

// link is a reference that is yet to be followed.
type link struct {
	from *node
	ref  string
	at   string
}

// links are the names that references in a document may use. Addresses are compared, nothing is ever fetched.
type links struct {
	at       map[string]*resource // by the place in the document
	resource map[string]*resource // by address
}

// resource is the document, or a schema in it that has an address of its own.
type resource struct {
	address *url.URL
	top     place
	anchors map[string]place // by name
}

// place is a value in the document, and the JSON pointer to it.
type place struct {
	value any
	at    string
}

func newLinks(document any) links {
	l := links{at: map[string]*resource{}, resource: map[string]*resource{}}
	l.add(&url.URL{}, place{document, ""})
	return l
}

func (l *links) add(address *url.URL, top place) {
	r := &resource{address: address, top: top, anchors: map[string]place{}}
	l.at[top.at], l.resource[address.String()] = r, r
}

// around is the resource that a place is in.
func (l *links) around(at string) *resource {
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

// addID gives a schema an address, or a name in the resource around it where the $id is a fragment, as draft-07 has it.
func (l *links) addID(v any, at string, schema map[string]any) error {
	if at == metaschemaID { // has it already
		return nil
	}
	id, _ := v.(string)
	if name, ok := strings.CutPrefix(id, "#"); ok {
		return l.addAnchor(name, at, schema)
	}
	address, err := l.around(at).address.Parse(strings.TrimSuffix(id, "#"))
	if err != nil || id == "" || address.Fragment != "" {
		return refuse(at+"/$id", "expected an address without fragment, got %s", describe(v))
	}
	if l.resource[address.String()] != nil || address.String() == metaschemaID {
		return refuse(at+"/$id", "%q names two schemas; rename one of them", id)
	}
	l.add(address, place{schema, at})
	return nil
}

func (l *links) addAnchor(v any, at string, schema map[string]any) error {
	name, _ := v.(string)
	if name == "" || strings.ContainsAny(name, "#/") {
		return refuse(at, "a name of a schema is text without # and /, got %s", describe(v))
	}
	anchors := l.around(at).anchors
	if _, ok := anchors[name]; ok {
		return refuse(at, "%q names two schemas; rename one of them", name)
	}
	anchors[name] = place{schema, at}
	return nil
}

// resolve finds what a reference leads to.
func (l *links) resolve(from link) (to place, err error) {
	address, fragment, _ := strings.Cut(from.ref, "#")
	if fragment, err = url.PathUnescape(fragment); err != nil {
		return place{}, fmt.Errorf("%q is not a valid reference", from.ref)
	}
	in := l.around(from.at)
	if address != "" {
		full, err := in.address.Parse(address)
		if err != nil {
			return place{}, fmt.Errorf("%q is not a valid reference", from.ref)
		}
		if in, err = l.find(full.String()); err != nil {
			return place{}, err
		}
		if in == nil {
			return place{}, fmt.Errorf(`%q leads out of the schema; copy what it names into "definitions" and refer to "#/definitions/..."`, from.ref)
		}
	}
	var ok bool
	if fragment == "" || fragment[0] == '/' {
		to, ok = in.top.point(fragment)
	} else {
		to, ok = in.anchors[fragment]
	}
	if !ok {
		return place{}, fmt.Errorf("%q names nothing in the schema", from.ref)
	}
	return to, nil
}

// find is the resource with an address, nil if the document has none. The schema of schemas is added when it is asked for.
func (l *links) find(address string) (*resource, error) {
	if address == metaschemaID && l.resource[address] == nil {
		document, err := metaschema()
		if err != nil {
			return nil, err
		}
		full, err := url.Parse(address)
		if err != nil {
			return nil, err
		}
		l.add(full, place{document, metaschemaID})
	}
	return l.resource[address], nil
}

// point follows a JSON pointer.
func (p place) point(pointer string) (place, bool) {
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
			return place{}, false
		}
		p.at += "/" + token
	}
	return p, true
}
