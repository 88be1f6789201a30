package guard

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
	places  map[string]place    // by address: the document and the schemas in it with an $id
	bases   map[string]*url.URL // the same by where they stand
	anchors map[string]place    // by address and name, "address#name"
}

// place is a value in the document, and the JSON pointer to it.
type place struct {
	value any
	at    string
}

func newLinks(document any) links {
	return links{places: map[string]place{"": {document, ""}}, bases: map[string]*url.URL{"": {}}, anchors: map[string]place{}}
}

// base is the address against which references at a place are read.
func (l *links) base(at string) *url.URL {
	for {
		if base := l.bases[at]; base != nil {
			return base
		}
		i := strings.LastIndexByte(at, '/')
		if i < 0 {
			return l.bases[""]
		}
		at = at[:i]
	}
}

// addID gives a schema an address, or a name in the one around it where the $id is a fragment, as draft-07 has it.
func (l *links) addID(v any, at string, schema map[string]any) error {
	if at == metaschemaID { // has it already
		return nil
	}
	id, _ := v.(string)
	if name, ok := strings.CutPrefix(id, "#"); ok {
		return l.addAnchor(name, at, schema)
	}
	address, err := l.base(at).Parse(strings.TrimSuffix(id, "#"))
	if err != nil || id == "" || address.Fragment != "" {
		return refuse(at+"/$id", "expected an address without fragment, got %s", describe(v))
	}
	if known, ok := l.places[address.String()]; ok && known.at != at || address.String() == metaschemaID {
		return refuse(at+"/$id", "%q names two schemas; rename one of them", id)
	}
	l.places[address.String()] = place{schema, at}
	l.bases[at] = address
	return nil
}

func (l *links) addAnchor(v any, at string, schema map[string]any) error {
	name, _ := v.(string)
	if name == "" || strings.ContainsAny(name, "#/") {
		return refuse(at, "a name of a schema is text without # and /, got %s", describe(v))
	}
	key := l.base(at).String() + "#" + name
	if _, ok := l.anchors[key]; ok {
		return refuse(at, "%q names two schemas; rename one of them", name)
	}
	l.anchors[key] = place{schema, at}
	return nil
}

// resolve finds what a reference leads to.
func (l *links) resolve(from link) (target any, at string, err error) {
	address, err := l.base(from.at).Parse(from.ref)
	if err != nil {
		return nil, "", fmt.Errorf("%q is not a valid reference", from.ref)
	}
	fragment := address.Fragment
	address.Fragment, address.RawFragment = "", ""
	if address.String() == metaschemaID {
		if err := l.addMetaschema(); err != nil {
			return nil, "", err
		}
	}
	to, ok := l.places[address.String()]
	if !ok {
		return nil, "", fmt.Errorf(`%q leads out of the schema; copy what it names into "definitions" and refer to "#/definitions/..."`, from.ref)
	}
	if fragment != "" && fragment[0] != '/' {
		to, ok = l.anchors[address.String()+"#"+fragment]
	} else {
		to, ok = to.point(fragment)
	}
	if !ok {
		return nil, "", fmt.Errorf("%q names nothing in the schema", from.ref)
	}
	return to.value, to.at, nil
}

// addMetaschema makes the schema of schemas a place, once somebody asks for it.
func (l *links) addMetaschema() error {
	document, err := metaschema()
	if err != nil {
		return err
	}
	l.places[metaschemaID] = place{document, metaschemaID}
	l.bases[metaschemaID], err = url.Parse(metaschemaID)
	return err
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
