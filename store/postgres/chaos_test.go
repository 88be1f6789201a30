//go:build unix

package postgres_test

import (
	"context"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/provost-go/provost"
	"github.com/provost-go/provost/store/internal/chaos"
	"github.com/provost-go/provost/store/postgres"
)

func TestMain(m *testing.M) {
	chaos.Child(openPlace)
	os.Exit(m.Run())
}

// openPlace opens a store that is named by its schema and the DSN.
func openPlace(ctx context.Context, place string) (provost.Store, func() error, error) {
	schema, dsn, _ := strings.Cut(place, " ")
	store, err := postgres.Config{Schema: schema}.Open(ctx, dsn)
	if err != nil {
		return nil, nil, err
	}
	return store, store.Close, nil
}

// TestChaos: processes that share a database are killed and stopped; nothing is lost and nothing is done twice. The long form is asked for
// by PROVOST_CHAOS=full, and takes ten minutes.
func TestChaos(t *testing.T) {
	c := chaos.Config{Processes: 4, Deployments: 30, Length: 12 * time.Second, Kills: time.Second}
	if os.Getenv("PROVOST_CHAOS") == "full" {
		c = chaos.Config{Processes: 8, Deployments: 200, Length: 10 * time.Minute, Kills: 500 * time.Millisecond}
	}
	place := schema(t) + " " + dsn(t)
	t.Parallel()
	chaos.Run(t, openPlace, place, c)
}
