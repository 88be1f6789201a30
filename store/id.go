package store

import (
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"strings"
	"time"

	"github.com/google/uuid"
)

// The namespaces of the stable IDs: a flow or deployment has the same ID in every store and
// process.
var (
	flowNamespace       = uuid.MustParse("5f0f4a53-1f07-4a43-9f2c-6c0d6f3a7c01")
	deploymentNamespace = uuid.MustParse("5f0f4a53-1f07-4a43-9f2c-6c0d6f3a7c02")
)

// FlowID returns the ID of the flow with a name, the same in every store. Stores need it for child
// runs, whose flows they first meet by name.
func FlowID(name string) uuid.UUID { return uuid.NewSHA1(flowNamespace, []byte(name)) }

// DeploymentID returns the ID of the deployment of a flow with a name, the same in every store.
func DeploymentID(flow, name string) uuid.UUID {
	return uuid.NewSHA1(deploymentNamespace, []byte(Handle(flow, name)))
}

// Handle returns the name that people use for a deployment, "flow/deployment".
func Handle(flow, deployment string) string { return flow + "/" + deployment }

// ParseHandle returns the [DeploymentID] of the handle "flow/deployment", split at the first slash.
// It asks no store, so there may be no such deployment. It returns an error if a name is missing.
func ParseHandle(handle string) (uuid.UUID, error) {
	flow, name, ok := strings.Cut(handle, "/")
	if !ok || flow == "" || name == "" {
		return uuid.Nil, fmt.Errorf("handle %q: write it as flow/deployment", handle)
	}
	return DeploymentID(flow, name), nil
}

// NewID returns a new UUIDv7 made from now, not from the clock of the machine, so that IDs order
// runs in virtual time too. The 12 bits after the milliseconds hold the fraction of the millisecond
// (RFC 9562, section 6.2, method 3); the other 62 are random.
func NewID(now time.Time) uuid.UUID {
	ms := now.UnixMilli()
	fraction := uint64(now.Nanosecond()%int(time.Millisecond)) << 12 / uint64(time.Millisecond)
	var id uuid.UUID
	binary.BigEndian.PutUint64(id[:8], uint64(ms)<<16|0x7000|fraction)
	binary.BigEndian.PutUint64(id[8:], rand.Uint64()&(1<<62-1)|1<<63)
	return id
}
