package jsonschema

import (
	"encoding/json"
	"slices"
	"strings"
	"unicode/utf8"
)

// broken returns the keyword of the first rule that v violates, or "" if v is valid. It looks only
// at the parts of the value that the schema describes, does cheap checks before expensive ones, and
// does not allocate for ordinary values.
func (n *node) broken(v any, b *budget) string {
	if b.spend(1); b.spent() {
		return outOfBudget
	}
	switch {
	case n.ref != nil:
		return n.ref.broken(v, b)
	case n.verdict != nil && *n.verdict:
		return ""
	case n.verdict != nil:
		return "false"
	}
	rule := n.brokenAssertion(v, b)
	if rule == "" {
		rule = n.brokenInPlace(v, b)
	}
	if rule == "" {
		rule = n.brokenChild(v, b)
	}
	return rule
}

func (n *node) accepts(v any, b *budget) bool { return n.broken(v, b) == "" }

// fits reports whether v is valid and the budget sufficed to find out.
func (n *node) fits(v any, b *budget) bool { return n.accepts(v, b) && !b.spent() }

// brokenAssertion checks the rules that need no other schema.
func (n *node) brokenAssertion(v any, b *budget) string {
	switch {
	case n.types != 0 && !n.types.has(v):
		return "type"
	case n.enum != nil && !n.listed(v, b):
		return "enum"
	}
	switch v := v.(type) {
	case string:
		return n.brokenString(v, b)
	case json.Number:
		return n.brokenNumber(v, b)
	case []any:
		return n.brokenList(v, b)
	case map[string]any:
		return n.brokenObject(v)
	}
	return ""
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

func (n *node) listed(v any, b *budget) bool {
	b.spend(len(n.enum) / 8)
	for _, allowed := range n.enum {
		if same(v, allowed, b) {
			return true
		}
	}
	return false
}

func (n *node) brokenString(s string, b *budget) string {
	if n.counts != nil {
		b.spend(len(s) / 64)
		if rule := n.brokenCount(utf8.RuneCountInString(s), "minLength", "maxLength"); rule != "" {
			return rule
		}
	}
	if n.pattern != nil && !n.pattern.matches(s, b) {
		return "pattern"
	}
	if n.format != "" {
		b.spend(len(s) / 4)
		if !matches(n.format, s) {
			return "format"
		}
	}
	return ""
}

func (n *node) brokenNumber(v json.Number, b *budget) string {
	for keyword, bound := range n.numbers {
		if keyword == "multipleOf" {
			if !isMultiple(string(v), string(bound), b) {
				return keyword
			}
			continue
		}
		sign, ok := compareNumbers(string(v), string(bound), b)
		switch keyword {
		case "minimum":
			ok = ok && sign >= 0
		case "maximum":
			ok = ok && sign <= 0
		case "exclusiveMinimum":
			ok = ok && sign > 0
		case "exclusiveMaximum":
			ok = ok && sign < 0
		}
		if !ok {
			return keyword
		}
	}
	if n.format != "" {
		if strings.ContainsAny(string(v), ".eE") {
			b.spend(fraction)
		}
		if !matches(n.format, v) {
			return "format"
		}
	}
	return ""
}

func (n *node) brokenList(list []any, b *budget) string {
	if n.counts != nil {
		if rule := n.brokenCount(len(list), "minItems", "maxItems"); rule != "" {
			return rule
		}
	}
	if n.unique && !distinct(list, b) {
		return "uniqueItems"
	}
	return ""
}

func (n *node) brokenObject(m map[string]any) string {
	if n.counts != nil {
		if rule := n.brokenCount(len(m), "minProperties", "maxProperties"); rule != "" {
			return rule
		}
	}
	for _, name := range n.required {
		if _, ok := m[name]; !ok {
			return "required"
		}
	}
	for key, names := range n.depKeys {
		if _, ok := m[key]; !ok {
			continue
		}
		for _, name := range names {
			if _, ok := m[name]; !ok {
				return "dependencies"
			}
		}
	}
	return ""
}

func (n *node) brokenCount(count int, least, most string) string {
	if bound, ok := n.counts[least]; ok && count < bound {
		return least
	}
	if bound, ok := n.counts[most]; ok && count > bound {
		return most
	}
	return ""
}

// brokenInPlace checks the rules that apply other schemas to the same value.
func (n *node) brokenInPlace(v any, b *budget) string {
	for _, other := range n.allOf {
		if !other.accepts(v, b) {
			return "allOf"
		}
	}
	if n.anyOf != nil && !slices.ContainsFunc(n.anyOf, func(other *node) bool { return other.accepts(v, b) }) {
		return "anyOf"
	}
	if n.oneOf != nil && n.countFits(v, b) != 1 {
		return "oneOf"
	}
	if n.not != nil && n.not.accepts(v, b) {
		return "not"
	}
	if n.ifNode != nil {
		branch, keyword := n.elseNode, "else"
		if n.ifNode.accepts(v, b) {
			branch, keyword = n.thenNode, "then"
		}
		if branch != nil && !branch.accepts(v, b) {
			return keyword
		}
	}
	if m, ok := v.(map[string]any); ok {
		for key, other := range n.deps {
			if _, ok := m[key]; ok && !other.accepts(v, b) {
				return "dependencies"
			}
		}
	}
	return ""
}

func (n *node) countFits(v any, b *budget) int {
	count := 0
	for _, other := range n.oneOf {
		if other.accepts(v, b) {
			count++
		}
	}
	return count
}

// brokenChild checks the rules that apply schemas to items and properties.
func (n *node) brokenChild(v any, b *budget) (rule string) {
	switch v := v.(type) {
	case []any:
		if rule = outOfBudget; b.enter() {
			rule = n.brokenItems(v, b)
		}
		b.leave()
	case map[string]any:
		if rule = outOfBudget; b.enter() {
			rule = n.brokenProperties(v, b)
		}
		b.leave()
	}
	return rule
}

func (n *node) brokenItems(list []any, b *budget) string {
	if n.items != nil || n.tuple != nil {
		for i, item := range list {
			if b.spent() {
				return outOfBudget
			}
			if child := n.itemNode(i); child != nil && !child.accepts(item, b) {
				return "items"
			}
		}
	}
	if n.contains != nil && !slices.ContainsFunc(list, func(item any) bool { return n.contains.accepts(item, b) }) {
		return "contains"
	}
	return ""
}

// itemNode returns the node that applies to item i, or nil if there is none.
func (n *node) itemNode(i int) *node {
	switch {
	case n.items != nil:
		return n.items
	case i < len(n.tuple):
		return n.tuple[i]
	case n.tuple != nil:
		return n.more
	}
	return nil
}

func (n *node) brokenProperties(m map[string]any, b *budget) string {
	if n.properties == nil && n.additional == nil && n.patterns == nil && n.names == nil {
		return ""
	}
	for key, v := range m {
		if b.spend(1); b.spent() {
			return outOfBudget
		}
		if n.names != nil && !n.names.accepts(key, b) {
			return "propertyNames"
		}
		if n.patterns == nil {
			child := n.properties[key]
			if child == nil {
				child = n.additional
			}
			if child != nil && !child.accepts(v, b) {
				return "properties"
			}
			continue
		}
		for _, child := range n.keyNodes(key, b) {
			if !child.accepts(v, b) {
				return "properties"
			}
		}
	}
	return ""
}

// keyNodes returns the nodes that apply to the value of a key.
func (n *node) keyNodes(key string, b *budget) []*node {
	var list []*node
	if child := n.properties[key]; child != nil {
		list = append(list, child)
	}
	for _, p := range n.patterns {
		if p.matches(key, b) {
			list = append(list, p.node)
		}
	}
	if list == nil && n.additional != nil {
		list = append(list, n.additional)
	}
	return list
}
