package sqlstore

import (
	"sync"

	"github.com/google/uuid"
)

// memory is the deployments that runs were made of lately, as they were. Those with a limit are not
// among them: their slots have to be looked at anyway. Its zero value remembers none yet.
type memory struct {
	mu          sync.Mutex
	deployments map[uuid.UUID]*deployment // without schedules; nobody changes them
}

// maxMemory is how many deployments are remembered at most. One more, and all are forgotten.
const maxMemory = 1000

// recall gives a copy of a deployment; nil if it is not remembered.
func (m *memory) recall(id uuid.UUID) *deployment {
	m.mu.Lock()
	defer m.mu.Unlock()
	d := m.deployments[id]
	if d == nil {
		return nil
	}
	own := *d
	return &own
}

// note remembers what a deployment is now; nil is for one that is not there.
func (m *memory) note(id uuid.UUID, d *deployment) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if d == nil || d.limited() {
		delete(m.deployments, id)
		return
	}
	if _, known := m.deployments[id]; m.deployments == nil || !known && len(m.deployments) == maxMemory {
		m.deployments = make(map[uuid.UUID]*deployment)
	}
	m.deployments[id] = &deployment{record: d.record.Clone(), serial: d.serial, lane: d.lane, stored: true}
}

// asItWas finds a deployment if nothing has changed that a new run depends on: whatever its record
// says of that comes with a new generation.
const asItWas = "SELECT d.id FROM provost_deployment d WHERE d.id = ? AND d.serial = ? AND d.generation = ? AND d.lane = ?" + keyShare

// source is the deployment that a run is to be made of: as it is remembered, where that is enough.
func (b *book) source(id uuid.UUID) (*deployment, error) {
	if _, known := b.deployments[id]; known {
		return b.deployment(id)
	}
	if s, ok := b.tx.(Asserter); ok && b.supposes {
		if d := b.memory.recall(id); d != nil {
			b.deployments[id] = d
			return d, s.Assert(asItWas, id, d.serial, d.record.Generation, d.lane)
		}
	}
	d, err := b.deployment(id)
	if err == nil || isNotFound(err) {
		b.memory.note(id, d)
	}
	return d, err
}
