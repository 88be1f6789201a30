package postgres_test

import (
	"net/url"
	"os"
	"strings"
	"testing"

	"github.com/provost-go/provost/store"
	"github.com/provost-go/provost/store/postgres"
	"github.com/provost-go/provost/storetest"
)

// TestPgBouncer runs the conformance suite behind PgBouncer in transaction mode, where a statement
// may be prepared on another connection than it is used on, and LISTEN receives nothing.
func TestPgBouncer(t *testing.T) {
	const bouncer = "PROVOST_PGBOUNCER"
	if os.Getenv(bouncer) == "" {
		if os.Getenv("CI") != "" {
			t.Fatalf("%s is not set", bouncer)
		}
		t.Skip("set " + bouncer + " to the URL of a PgBouncer in transaction mode, in front of a PostgreSQL in which the user may create schemas")
	}
	t.Setenv(server, os.Getenv(bouncer))
	t.Run("Store", func(t *testing.T) { storetest.Run(t, func(t *testing.T) store.Store { return open(t, schema(t)) }) })
	t.Run("ManyProcesses", TestManyProcesses)
	t.Run("WithTx", TestWithTx)
}

// TestSchemaOfAnother opens a store as a user who may not create schemas, in one that was created
// for it.
func TestSchemaOfAnother(t *testing.T) {
	place, err := url.Parse(dsn(t))
	if err != nil {
		t.Fatal(err)
	}
	if _, asks := place.User.Password(); asks {
		t.Skip("the server asks for passwords, and the new user has none")
	}
	name, pool := schema(t), connect(t)
	role := "user_" + strings.TrimPrefix(name, "test_")
	for _, statement := range []string{"CREATE ROLE " + role + " LOGIN", "CREATE SCHEMA " + name + " AUTHORIZATION " + role} {
		if _, err := pool.Exec(t.Context(), statement); err != nil {
			t.Fatal(err)
		}
	}
	place.User = url.User(role)
	store, err := postgres.Config{Schema: name}.Open(t.Context(), place.String())
	if err != nil {
		t.Error(err)
	} else if err := store.Close(); err != nil {
		t.Error(err)
	}
	for _, statement := range []string{"DROP SCHEMA " + name + " CASCADE", "DROP ROLE " + role} {
		if _, err := pool.Exec(t.Context(), statement); err != nil {
			t.Error(err)
		}
	}
}
