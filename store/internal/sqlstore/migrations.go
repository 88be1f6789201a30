package sqlstore

import "fmt"

// migrations are how a schema came about, step by step; each is additive, and none is ever changed
// once it was released.
func migrations(d Dialect) [][]string { return [][]string{Schema(d)} }

// Statements are all migrations in their order.
func Statements(d Dialect) []string {
	var list []string
	for i, m := range migrations(d) {
		list = append(append(list, m...), setVersion(i+1))
	}
	return list
}

func setVersion(n int) string {
	if n == 1 {
		return "INSERT INTO provost_meta (name, value) VALUES ('version', 1)"
	}
	return fmt.Sprintf("UPDATE provost_meta SET value = %d WHERE name = 'version'", n)
}

// Migrate does what is left of the migrations. The caller sees to it that nobody else does at the
// same time.
func Migrate(tx Tx, d Dialect) error {
	b := newBook(tx, never)
	var known int
	if _, err := b.one(d.Known, nil, &known); err != nil {
		return err
	}
	version := 0
	if known > 0 {
		if _, err := b.one("SELECT m.value FROM provost_meta m WHERE m.name = 'version'", nil, &version); err != nil {
			return err
		}
	}
	list := migrations(d)
	if version > len(list) {
		return fmt.Errorf("the tables are of version %d, this program knows %d: it is older than what has written them", version, len(list))
	}
	for i := version; i < len(list); i++ {
		for _, statement := range append(list[i], setVersion(i+1)) {
			if err := tx.Exec(statement); err != nil {
				return fmt.Errorf("version %d: %.80s: %w", i+1, statement, err)
			}
		}
	}
	return nil
}
