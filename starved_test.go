package provost_test

import (
	"context"
	"sync/atomic"
	"testing"
	"time"

	"github.com/provost-go/provost"
)

// While too many hooks wait, nothing is claimed. When fewer wait, claiming resumes, even if nothing
// else happens.
func TestClaimsResumeWhenFewerHooksWait(t *testing.T) {
	bubble(t, func(t *testing.T) {
		const runs = 10_500 // a few more than may wait beside the 100 running hooks
		store := provost.NewMemoryStore()
		client := provost.NewClient(store)
		var begun atomic.Int64
		f := provost.NewFlow("f", func(context.Context, struct{}) (int, error) { begun.Add(1); return 0, nil })
		f.OnCompletion = func(context.Context, *provost.Run) error { time.Sleep(time.Second); return nil }
		d := &provost.Deployment{Flow: f, Name: "d"}
		if _, err := client.Deploy(t.Context(), d); err != nil {
			t.Fatal(err)
		}
		for range runs {
			request(t, client, "f/d", nil)
		}
		stop := start(t, &provost.Runner{Store: store}, d)
		time.Sleep(10 * time.Minute)
		if n := begun.Load(); n != runs {
			t.Errorf("%d runs began, want %d", n, runs)
		}
		clean(t, stop)
	})
}
