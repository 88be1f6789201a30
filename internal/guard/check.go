package guard

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"
)

// plain says that check understands every rule of n, so that its yes is the library's yes.
func (n *node) plain() bool {
	_, multiple := n.numbers["multipleOf"]
	return !multiple && !n.unique && n.patterns == nil && n.names == nil && n.deps == nil && n.depKeys == nil &&
		n.tuple == nil && n.more == nil && n.contains == nil && n.oneOf == nil && n.not == nil && n.cond == nil &&
		n.then == nil && n.or == nil
}

// budget bounds how long check may take; what is too much for it goes the slow way, which measures first.
type budget int

// A step is some tens of nanoseconds.
const directBudget budget = 2_000_000

func (b *budget) spend(steps int) bool {
	*b -= budget(steps)
	return *b > 0
}

// check is the fast way to say yes: true means that v fits. False means only that the library has to be asked. It walks
// no more of the value than the schema describes and allocates nothing for ordinary values.
func (n *node) check(v any, b *budget) bool {
	if !b.spend(1) {
		return false
	}
	if n.verdict != nil {
		return *n.verdict
	}
	if n.ref != nil {
		return n.ref.check(v, b)
	}
	if n.types != 0 && !n.types.has(v) || n.enum != nil && !n.listed(v) {
		return false
	}
	for _, other := range n.allOf {
		if !other.check(v, b) {
			return false
		}
	}
	if n.anyOf != nil && !anyFits(n.anyOf, v, b) {
		return false
	}
	switch v := v.(type) {
	case string:
		return n.checkString(v, b)
	case json.Number:
		return n.checkNumber(v)
	case []any:
		return n.checkArray(v, b)
	case map[string]any:
		return n.checkObject(v, b)
	}
	return true
}

func anyFits(nodes []*node, v any, b *budget) bool {
	for _, n := range nodes {
		if n.check(v, b) {
			return true
		}
	}
	return false
}

func (t typeSet) has(v any) bool {
	switch v := v.(type) {
	case nil:
		return t&typeNull != 0
	case bool:
		return t&typeBoolean != 0
	case string:
		return t&typeString != 0
	case json.Number:
		return t&typeNumber != 0 || t&typeInteger != 0 && isWhole(string(v))
	case []any:
		return t&typeArray != 0
	case map[string]any:
		return t&typeObject != 0
	}
	return false
}

// listed says that a scalar is in the enum; arrays and objects are left to the library.
func (n *node) listed(v any) bool {
	for _, allowed := range n.enum {
		switch v := v.(type) {
		case nil, bool, string:
			if allowed == v {
				return true
			}
		case json.Number:
			if other, ok := allowed.(json.Number); ok && sameNumber(string(v), string(other)) {
				return true
			}
		}
	}
	return false
}

func (n *node) checkString(s string, b *budget) bool {
	if n.counts != nil {
		length := utf8.RuneCountInString(s)
		if !n.within(length, "minLength", "maxLength") {
			return false
		}
	}
	if n.pattern != nil && !(b.spend(len(s)*n.pattern.size/32) && n.pattern.expr.MatchString(s)) {
		return false
	}
	return n.format == "" || formatFits(n.format, s)
}

// formatFits leaves formats that nobody checks alone.
func formatFits(format string, v any) bool {
	_, known := formats[format]
	return !known || matches(format, v)
}

func (n *node) checkNumber(v json.Number) bool {
	for keyword, bound := range n.numbers {
		sign, ok := compareNumbers(string(v), string(bound))
		if !ok {
			return false
		}
		switch keyword {
		case "minimum":
			ok = sign >= 0
		case "maximum":
			ok = sign <= 0
		case "exclusiveMinimum":
			ok = sign > 0
		case "exclusiveMaximum":
			ok = sign < 0
		}
		if !ok {
			return false
		}
	}
	return n.format == "" || formatFits(n.format, v)
}

func (n *node) checkArray(list []any, b *budget) bool {
	if n.counts != nil && !n.within(len(list), "minItems", "maxItems") {
		return false
	}
	if n.items != nil {
		for _, item := range list {
			if !n.items.check(item, b) {
				return false
			}
		}
	}
	return true
}

func (n *node) checkObject(m map[string]any, b *budget) bool {
	if n.counts != nil && !n.within(len(m), "minProperties", "maxProperties") {
		return false
	}
	for _, name := range n.required {
		if _, ok := m[name]; !ok {
			return false
		}
	}
	if n.properties == nil && n.additional == nil {
		return true
	}
	for key, v := range m {
		child := n.properties[key]
		if child == nil {
			child = n.additional
		}
		if child != nil && !child.check(v, b) {
			return false
		}
	}
	return true
}

func (n *node) within(count int, least, most string) bool {
	if bound, ok := n.counts[least]; ok && count < bound {
		return false
	}
	bound, ok := n.counts[most]
	return !ok || count <= bound
}

// checkSizes refuses what the library would take too long over, before it starts: lists longer than their maxItems, of
// which it checks each item first, and work that multiplies.
func (n *node) checkSizes(v any) *Problem {
	w := worker{}
	w.walk(n, v, "")
	if w.problem == nil && w.steps > maxWork {
		return &Problem{Reason: fmt.Sprintf("checking this value against its schema takes more than %d steps; send less, or simplify the schema", maxWork)}
	}
	return w.problem
}

// worker walks a value along a schema as the library would, and counts.
type worker struct {
	steps   int
	problem *Problem
}

func (w *worker) walk(n *node, v any, path string) {
	w.steps++
	if w.steps > maxWork || w.problem != nil {
		return
	}
	if n.enum != nil || n.unique {
		w.steps += weigh(v) / 8
	}
	for _, other := range n.inPlace() {
		w.walk(other, v, path)
	}
	switch v := v.(type) {
	case string:
		// A regular expression reads each character once per instruction.
		if n.pattern != nil {
			w.steps += len(v) * n.pattern.size / 1024
		}
	case []any:
		w.array(n, v, path)
	case map[string]any:
		w.object(n, v, path)
	}
}

func (w *worker) array(n *node, list []any, path string) {
	if most, ok := n.counts["maxItems"]; ok && len(list) > most && len(list) > MaxProblems {
		w.problem = &Problem{Path: path, Reason: tooMany(most, len(list))}
		return
	}
	for i, item := range list {
		for _, child := range n.itemNodes(i) {
			w.walk(child, item, path+index(i))
		}
		if w.steps > maxWork || w.problem != nil {
			return
		}
	}
}

// itemNodes lists the nodes that judge item i.
func (n *node) itemNodes(i int) []*node {
	var list []*node
	switch {
	case n.items != nil:
		list = append(list, n.items)
	case i < len(n.tuple):
		list = append(list, n.tuple[i])
	case n.more != nil && n.tuple != nil:
		list = append(list, n.more)
	}
	if n.contains != nil {
		list = append(list, n.contains)
	}
	return list
}

func (w *worker) object(n *node, m map[string]any, path string) {
	w.steps += len(m) * len(n.properties) / 64 // the library looks each key up in a list
	for _, p := range n.patterns {
		w.steps += len(m) * (1 + p.weight/64) // and compiles each pattern for each key
	}
	for _, key := range slices.Sorted(maps.Keys(m)) {
		for _, child := range n.keyNodes(key) {
			w.walk(child, m[key], Join(path, key))
		}
		if n.names != nil {
			w.walk(n.names, key, path)
		}
		if w.steps > maxWork || w.problem != nil {
			return
		}
	}
}

// keyNodes lists the nodes that judge the value of a key.
func (n *node) keyNodes(key string) []*node {
	var list []*node
	if child := n.properties[key]; child != nil {
		list = append(list, child)
	}
	for _, p := range n.patterns {
		if p.expr.MatchString(key) {
			list = append(list, p.node)
		}
	}
	if list == nil && n.additional != nil {
		list = append(list, n.additional)
	}
	return list
}

// weigh is about the number of values inside v, which is what it costs to write v as text.
func weigh(v any) int {
	weight := 1
	switch v := v.(type) {
	case string:
		weight += len(v) / 16
	case []any:
		for _, item := range v {
			weight += weigh(item)
		}
	case map[string]any:
		for _, item := range v {
			weight += 1 + weigh(item)
		}
	}
	return weight
}

func tooMany(most, got int) string {
	return fmt.Sprintf("expected at most %s, got %d; send fewer", plural(most, "item"), got)
}

// loosened returns a root that judges only what is there: nothing is required of the top level, because a later layer
// may bring it. The same node is returned if that changes nothing.
func (n *node) loosened() *node {
	if n.ref != nil {
		return n.ref.loosened()
	}
	loose := *n
	loose.required, loose.deps, loose.depKeys = nil, nil, nil
	loose.cond, loose.then, loose.or = nil, nil, nil
	loose.counts = maps.Clone(n.counts)
	delete(loose.counts, "minProperties")
	changed := n.required != nil || n.deps != nil || n.depKeys != nil || n.cond != nil || len(loose.counts) != len(n.counts)
	loosen := func(list []*node) []*node {
		var all []*node
		for _, other := range list {
			all = append(all, other.loosened())
			changed = changed || all[len(all)-1] != other
		}
		return all
	}
	loose.allOf, loose.anyOf = loosen(n.allOf), loosen(n.anyOf)
	if n.oneOf != nil {
		// Which one of them it is shows only when all is there.
		changed = true
		loose.oneOf = nil
		loose.allOf = append(loose.allOf, &node{at: n.at, anyOf: loosen(n.oneOf)})
	}
	if !changed {
		return n
	}
	return &loose
}

// filler collects the values that a schema gives where nothing is said.
type filler struct {
	open  map[*node]bool // whose value is being collected; a schema inside itself gives nothing
	steps int            // left, against definitions that multiply
}

func (f *filler) value(n *node) (any, bool) {
	if n.isValue {
		return clone(n.value), true
	}
	if f.steps--; f.steps < 0 || f.open[n] || n.types&typeNull != 0 { // null says nothing as well
		return nil, false
	}
	f.open[n] = true
	defer delete(f.open, n)
	if n.ref != nil {
		return f.value(n.ref)
	}
	m := map[string]any{}
	for _, other := range n.allOf {
		v, _ := f.value(other)
		if inner, ok := v.(map[string]any); ok {
			maps.Copy(m, inner)
		}
	}
	for _, name := range n.order {
		child := n.properties[name]
		v, ok := f.value(child)
		// An object made of nothing but its properties' defaults may lack what it requires; then it stays away.
		if ok && (child.isValue || child.fits(v)) {
			m[name] = v
		}
	}
	return m, len(m) > 0
}

func clone(v any) any {
	switch v := v.(type) {
	case []any:
		list := make([]any, len(v))
		for i := range v {
			list[i] = clone(v[i])
		}
		return list
	case map[string]any:
		m := make(map[string]any, len(v))
		for key := range v {
			m[key] = clone(v[key])
		}
		return m
	}
	return v
}

// fits is check with a budget of its own.
func (n *node) fits(v any) bool {
	b := directBudget
	return n.check(v, &b)
}

// checkDefaults refuses a default that its own schema would refuse.
func checkDefaults(nodes []*node, direct bool) error {
	// All that check cannot vouch for go to the library together, as the items of one list.
	all := &node{}
	var values []any
	for _, n := range nodes {
		if n.isValue && !(direct && n.fits(n.value)) {
			all.tuple = append(all.tuple, n)
			values = append(values, n.value)
		}
	}
	if values == nil {
		return nil
	}
	judge, err := newJudge(all)
	if err != nil {
		return err
	}
	problem := all.checkSizes(values)
	if problem == nil {
		problems := sorted(judge.problems(all, values))
		if problems == nil {
			return nil
		}
		problem = problems[0]
	}
	// The path begins with the index of the default.
	i, _ := strconv.Atoi(strings.TrimPrefix(problem.Path[:strings.IndexByte(problem.Path+"]", ']')], "["))
	_, inner, _ := strings.Cut(problem.Path, "]")
	inner = strings.TrimPrefix(inner, ".")
	return refuse(all.tuple[i].at+"/default", "%s", (&Problem{inner, problem.Reason}).Error())
}
