package sqlstore

import "fmt"

// migrations are the steps that make the schema. Each only adds to it, and none is changed once it
// is released.
func migrations(d Dialect) [][]string { return [][]string{Schema(d)} }

// Statements returns the statements of all migrations, in their order.
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

// Migrate does the migrations that the database does not have yet. The caller must make sure that
// no other process does so at the same time.
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
		return fmt.Errorf("the tables have version %d, but this program knows versions up to %d: upgrade the program", version, len(list))
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
