package storetest_test

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/provost-go/provost"
	"github.com/provost-go/provost/store"
	"github.com/provost-go/provost/store/memory"
	"github.com/provost-go/provost/storetest"
)

func TestMemoryStore(t *testing.T) {
	storetest.Run(t, func(*testing.T) store.Store { return memory.New() })
}

// wrapped adds nothing to a store but a layer, as a store that measures or logs does.
type wrapped struct{ store.Store }

func (w wrapped) Unwrap() store.Store { return w.Store }

func TestWrappedStore(t *testing.T) {
	storetest.Run(t, func(*testing.T) store.Store { return wrapped{memory.New()} })
}

// TestWrappedStoreIsHeard: a runner and a client find the hints of a store under its wrappers. Polling alone would take hours.
func TestWrappedStoreIsHeard(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		st := wrapped{wrapped{memory.New()}}
		flow := provost.NewJob("job", func(context.Context) error { return nil })
		runner := provost.Runner{Store: st, PollInterval: time.Hour}
		ctx, stop := context.WithCancel(t.Context())
		served := make(chan error, 1)
		go func() { served <- runner.Serve(ctx, &provost.Deployment{Flow: flow, Name: "a"}) }()
		<-runner.Ready()
		synctest.Wait() // it has looked for work and found none
		began := time.Now()
		client := provost.NewClient(st)
		run, err := client.RunDeployment(t.Context(), "job/a", nil)
		if err != nil {
			t.Fatal(err)
		}
		if run, err = client.Wait(t.Context(), run.ID); err != nil || run.State.Type != store.StateCompleted {
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
