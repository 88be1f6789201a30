package sqlstore

import (
	"errors"
	"fmt"
	"regexp"
	"strings"
	"testing"
)

// additive refuses a migration that a program of the previous version could not work with: it goes
// on beside the new one for a while.
func additive(statement string) error {
	s := strings.ToUpper(strings.Join(strings.Fields(statement), " "))
	for word, why := range map[string]string{
		`\bDROP\b`: "it drops something", `\bRENAME\b`: "it renames something", `\bALTER COLUMN\b`: "it changes a column",
		`\bCREATE UNIQUE INDEX\b`: "existing rows may not be unique",
	} {
		if regexp.MustCompile(word).MatchString(s) {
			return errors.New(why)
		}
	}
	if strings.Contains(s, "ADD COLUMN") && strings.Contains(s, "NOT NULL") && !strings.Contains(s, " DEFAULT ") {
		return errors.New("programs of the previous version do not set the new column; give it a default")
	}
	return nil
}

func TestMigrationsAreAdditive(t *testing.T) {
	for _, m := range migrations(Dialect{})[1:] {
		for _, statement := range m {
			if err := additive(statement); err != nil {
				t.Errorf("%s: %v", statement, err)
			}
		}
	}
	for statement, fits := range map[string]bool{
		"ALTER TABLE provost_run ADD COLUMN color TEXT":                        true,
		"ALTER TABLE provost_run ADD COLUMN color TEXT NOT NULL DEFAULT ''":    true,
		"ALTER TABLE provost_run ADD COLUMN color TEXT NOT NULL":               false,
		"ALTER TABLE provost_run DROP COLUMN color":                            false,
		"ALTER TABLE provost_run RENAME COLUMN color TO colour":                false,
		"alter table provost_run\n\talter column color set not null":           false,
		"DROP INDEX provost_due_claim":                                         false,
		"CREATE INDEX provost_run_color ON provost_run (color)":                true,
		"CREATE UNIQUE INDEX provost_run_color ON provost_run (color)":         false,
		"CREATE TABLE provost_color (id BLOB PRIMARY KEY, name TEXT NOT NULL)": true,
	} {
		if err := additive(statement); (err == nil) != fits {
			t.Errorf("%s: got error %v, want it refused: %t", statement, err, !fits)
		}
	}
}

// TestTablesAreNamed checks the names of tables and indexes, which share a database with the
// caller's own.
func TestTablesAreNamed(t *testing.T) {
	for _, statement := range Statements(Dialect{}) {
		var name string
		for _, form := range []string{"CREATE TABLE %s", "CREATE INDEX %s", "CREATE UNIQUE INDEX %s", "INSERT INTO %s", "UPDATE %s"} {
			if n, _ := fmt.Sscanf(statement, form, &name); n == 1 {
				break
			}
		}
		if !strings.HasPrefix(name, "provost_") {
			t.Errorf("%.60s: got name %q, want one that begins with provost_", statement, name)
		}
	}
}
