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

// wrapped is a store around another, as one that measures or logs would be.
type wrapped struct{ store.Store }

func (w wrapped) Unwrap() store.Store { return w.Store }

func TestWrappedStore(t *testing.T) {
	storetest.Run(t, func(*testing.T) store.Store { return wrapped{memory.New()} })
}

// TestWrappedStoreNotifies has a runner and a client find the notifications of a store under its
// wrappers. Polling alone would take hours.
func TestWrappedStoreNotifies(t *testing.T) {
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
			t.Errorf("got run %v and error %v, want it completed", run, err)
		}
		if took := time.Since(began); took >= time.Second {
			t.Errorf("the run took %s, want less than 1 s: no notification arrived", took)
		}
		stop()
		if err := <-served; err != nil {
			t.Errorf("Serve: %v", err)
		}
	})
}
