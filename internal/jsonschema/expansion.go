package jsonschema

// checkExpansion refuses two kinds of references: cycles that pass through no property and no item,
// on which the library overflows the stack, and references that multiply.
func checkExpansion(nodes []*node) error {
	applied := map[*node]int{} // 0: not visited, -1: being counted
	var count func(n *node) error
	count = func(n *node) error {
		switch applied[n] {
		case 0:
		case -1:
			return refuse(n.at, "the references form a cycle through no property and no item; break the cycle")
		default:
			return nil
		}
		applied[n] = -1
		total := 1
		for _, other := range n.inPlace() {
			if err := count(other); err != nil {
				return err
			}
			if total += applied[other]; total > maxExpansion {
				return refuse(n.at, "references and combinations expand to more than %d schemas for one value; simplify them", maxExpansion)
			}
		}
		applied[n] = total
		return nil
	}
	for _, n := range nodes {
		if err := count(n); err != nil {
			return err
		}
	}
	return nil
}
