// Package param implements the parameters of flows. It converts them between Go types and JSON,
// derives JSON Schemas from Go types, checks parameters against schemas and hides secrets.
//
// # How parameters flow
//
// When a deployment is declared, [SchemaWithDocs] derives the schema of the flow's type P from its
// fields, tags and doc comments, and [Compile] compiles it. A deployment may bring a schema of its
// own instead. [Normalize] turns the Go values in the parameters of the deployment and its
// schedules into plain values: nil, bool, string, json.Number, []any and map[string]any. It also
// enforces the limits. [Schema.CheckSecrets] refuses parameters that would expose a secret, and
// [Schema.ValidatePartial] checks the rest, for a run may complete them.
//
// When a run is created, its own parameters are normalized and checked for secrets in the same way.
// Merged with those of the deployment, they must satisfy [Schema.Validate].
//
// When the run starts, [DecodeChecked] checks the parameters once more and reads them into a P: the
// program may have changed in between. [DecodeJSON] does the same for JSON text from outside.
//
// On the way back, [EncodeResult] and [DecodeResult] convert results. [Mask] hides the secrets in
// parameters that are shown, and [Redactor] hides them in logs, messages and results.
//
// # Three readers
//
// Three functions read parameters into a Go value:
//
//   - codec.decode reads plain values and explains what is wrong with them. It does not know the
//     schema, which must be asked before. Together they are the slow path.
//   - codec.fastDecode reads plain values and checks the rules of P's schema in the same pass.
//   - codec.fastScan does the same for JSON text, without building plain values first.
//
// The slow path decides, the fast path only says yes. If a fast reader returns true, the schema
// accepts the parameters and decode would produce the same Go value. If it returns false, nothing
// is decided: the parameters may be invalid, or valid but spelled in an unusual way, such as 1e2
// for an integer. The destination may be partly set by then. The caller takes the slow path, which
// alone words the errors.
//
// A fast reader therefore returns false whenever it is unsure. A new rule belongs in the slow path
// first; until the fast readers know it too, they must return false for fields that have it.
//
// The fast path exists for speed: it takes about an eighth of the time of the schema library and
// encoding/json. The tests compare all readers with the library over random types, tags and values.
package param
