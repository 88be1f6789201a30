// Package jsonschema compiles JSON Schemas and validates values against them. It stands between
// provost and its JSON Schema library, gojsonschema, which is not safe with hostile input: it
// fetches remote references, overflows the stack on reference cycles, panics on large exponents and
// silently ignores the keywords of newer drafts.
//
// [Compile] reads a schema, rejects whatever the library cannot handle safely, and builds a graph
// of nodes from the rest. The library only ever sees a document written from these nodes, never the
// text that came from outside.
//
// [Schema.Validate] walks the nodes itself, within a budget of steps. If the value is valid, the
// library is not involved. If it is not, the value has been measured against the limits before the
// library sees it, and the library only helps to explain what is wrong.
//
// No other package of the module may import gojsonschema, except tests that compare with it.
package jsonschema
