package storetest_test

import (
	"testing"

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
