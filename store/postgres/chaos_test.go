//go:build unix

package postgres_test

import (
	"context"
	"math/rand/v2"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/provost-go/provost/store"
	"github.com/provost-go/provost/store/internal/chaos"
	"github.com/provost-go/provost/store/postgres"
)

func TestMain(m *testing.M) {
	chaos.Child(openPlace)
	os.Exit(m.Run())
}

// openPlace opens a store that is named by its schema and the DSN.
func openPlace(ctx context.Context, place string) (store.Store, func() error, error) {
	schema, dsn, _ := strings.Cut(place, " ")
	store, err := postgres.Config{Schema: schema}.Open(ctx, dsn)
	if err != nil {
		return nil, nil, err
	}
	return store, store.Close, nil
}

// TestChaos: processes that share a database are killed and stopped, and the way to the server stalls and breaks; nothing is lost and
// nothing is done twice. PROVOST_CHAOS asks for more: "long" takes two minutes, "full" ten, and then the server is killed too, by what
// the variable PROVOST_POSTGRES_RESTART says: a program that stops it at once and starts it again.
func TestChaos(t *testing.T) {
	name, server := schema(t), dsn(t)
	t.Parallel()
	way := newWay(t, server)
	c := chaos.Scale()
	c.Patient = true
	restart := os.Getenv("PROVOST_POSTGRES_RESTART")
	if os.Getenv("PROVOST_CHAOS") == "" {
		restart = "" // others use it
	}
	c.Beside = func(ctx context.Context) {
		restarts, stalls, cuts := 0, 0, 0
		for after := c.Length / 6; pause(ctx, after/2+rand.N(after)); {
			switch n := restarts + stalls + cuts; {
			case n%3 == 0 && restart != "":
				restarts++
				if out, err := exec.Command(restart).CombinedOutput(); err != nil {
					t.Errorf("restart the server: %v\n%s", err, out)
				}
			case n%3 == 1:
				cuts++
				way.cut()
			default:
				stalls++
				way.stall(true)
				pause(ctx, rand.N(6*time.Second))
				way.stall(false)
			}
			after = min(after, 20*time.Second)
		}
		t.Logf("the server was killed %d times; the way to it stalled %d times, and broke %d times", restarts, stalls, cuts)
	}
	chaos.Run(t, openPlace, name+" "+way.dsn, c)
}

// TestOneMigration: processes that come at once to a database without tables make them once, with two connections each.
func TestOneMigration(t *testing.T) {
	t.Parallel()
	rounds := 2
	if os.Getenv("PROVOST_CHAOS") == "full" {
		rounds = 50
	}
	for range rounds {
		chaos.OpenAtOnce(t, schema(t)+" "+dsn(t)+"&pool_max_conns=2", 20)
	}
}

// pause waits, false if ctx ends before.
func pause(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}
