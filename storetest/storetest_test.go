package storetest_test

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/provost-go/provost"
	"github.com/provost-go/provost/storetest"
)

func TestMemoryStore(t *testing.T) {
	storetest.Run(t, func(*testing.T) provost.Store { return provost.NewMemoryStore() })
}

// wrapped adds nothing to a store but a layer, as a store that measures or logs does.
type wrapped struct{ provost.Store }

func (w wrapped) Unwrap() provost.Store { return w.Store }

func TestWrappedStore(t *testing.T) {
	storetest.Run(t, func(*testing.T) provost.Store { return wrapped{provost.NewMemoryStore()} })
}

// TestWrappedStoreIsHeard: a runner and a client find the hints of a store under its wrappers. Polling alone would take hours.
func TestWrappedStoreIsHeard(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := wrapped{wrapped{provost.NewMemoryStore()}}
		flow := provost.NewJob("job", func(context.Context) error { return nil })
		runner := provost.Runner{Store: store, PollInterval: time.Hour}
		ctx, stop := context.WithCancel(t.Context())
		served := make(chan error, 1)
		go func() { served <- runner.Serve(ctx, &provost.Deployment{Flow: flow, Name: "a"}) }()
		<-runner.Ready()
		synctest.Wait() // it has looked for work and found none
		began := time.Now()
		client := provost.NewClient(store)
		run, err := client.RunDeployment(t.Context(), "job/a", nil)
		if err != nil {
			t.Fatal(err)
		}
		if run, err = client.Wait(t.Context(), run.ID); err != nil || run.State.Type != provost.StateCompleted {
			t.Errorf("got run %v, error %v, want it completed", run, err)
		}
		if took := time.Since(began); took >= time.Second {
			t.Errorf("the run took %s: nobody heard of it", took)
		}
		stop()
		if err := <-served; err != nil {
			t.Errorf("Serve: %v", err)
		}
	})
}
