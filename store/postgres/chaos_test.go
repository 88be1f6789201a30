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
	chaos.Main(openPlace)
	os.Exit(m.Run())
}

// openPlace opens a store at a place that is made of its schema and the DSN.
func openPlace(ctx context.Context, place string) (store.Store, func() error, error) {
	schema, dsn, _ := strings.Cut(place, " ")
	store, err := postgres.Config{Schema: schema}.Open(ctx, dsn)
	if err != nil {
		return nil, nil, err
	}
	return store, store.Close, nil
}

// TestChaos kills and stops processes that share a database, and stalls and breaks the network to
// the server. Nothing is lost, and nothing is done twice. PROVOST_CHAOS sets the length: "long"
// takes two minutes, "full" ten. With "full" the server is killed too, by the program in
// PROVOST_POSTGRES_RESTART, which stops it at once and starts it again.
func TestChaos(t *testing.T) {
	name, server := schema(t), dsn(t)
	t.Parallel()
	proxy := newProxy(t, server)
	c := chaos.Scale()
	c.Patient = true
	restart := os.Getenv("PROVOST_POSTGRES_RESTART")
	if os.Getenv("PROVOST_CHAOS") == "" {
		restart = "" // other tests use the server
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
				proxy.cut()
			default:
				stalls++
				proxy.stall(true)
				pause(ctx, rand.N(6*time.Second))
				proxy.stall(false)
			}
			after = min(after, 20*time.Second)
		}
		t.Logf("the server was killed %d times; the network to it stalled %d times and broke %d times", restarts, stalls, cuts)
	}
	chaos.Run(t, openPlace, name+" "+proxy.dsn, c)
}

// TestOneMigration has processes open a database without tables at once, with two connections each.
// They make the tables once.
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

// pause waits. It returns false if ctx ends first.
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
