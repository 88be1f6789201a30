package store

import (
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"time"

	"github.com/google/uuid"
)

// Namespaces of the stable IDs: the same flow or deployment has the same ID in every store and process.
var (
	flowNamespace       = uuid.MustParse("5f0f4a53-1f07-4a43-9f2c-6c0d6f3a7c01")
	deploymentNamespace = uuid.MustParse("5f0f4a53-1f07-4a43-9f2c-6c0d6f3a7c02")
)

// FlowID is the ID of a flow, from its name. It is for authors of stores, which meet flows of child runs by their names first.
func FlowID(name string) uuid.UUID { return uuid.NewSHA1(flowNamespace, []byte(name)) }

// DeploymentID is the ID of a deployment, from the names in its handle.
func DeploymentID(flow, name string) uuid.UUID {
	return uuid.NewSHA1(deploymentNamespace, []byte(Handle(flow, name)))
}

// ParseHandle returns the ID of the deployment with the handle "flow/deployment". It does not look
// whether any store has it. The first slash separates the names.
func ParseHandle(handle string) (uuid.UUID, error) {
	flow, name, ok := strings.Cut(handle, "/")
	if !ok || flow == "" || name == "" {
		return uuid.Nil, fmt.Errorf("handle %q: write it as flow/deployment", handle)
	}
	return DeploymentID(flow, name), nil
}

// newID makes a UUIDv7 from now rather than from the machine's clock, so that IDs order runs in virtual time too. The 12 bits
// after the milliseconds carry the fraction of the millisecond (RFC 9562 section 6.2, method 3); the other 62 are random.
func NewID(now time.Time) uuid.UUID {
	ms := now.UnixMilli()
	fraction := uint64(now.Nanosecond()%int(time.Millisecond)) << 12 / uint64(time.Millisecond)
	var id uuid.UUID
	binary.BigEndian.PutUint64(id[:8], uint64(ms)<<16|0x7000|fraction)
	binary.BigEndian.PutUint64(id[8:], rand.Uint64()&(1<<62-1)|1<<63)
	return id
}

// RunName is what a run is called that got no name: two words, chosen by its ID. It is for authors of stores: a planned run comes
// without a name.
func RunName(id uuid.UUID) string {
	return runNames()[binary.BigEndian.Uint16(id[14:])%uint16(len(runAdjectives)*len(runAnimals))]
}

var runNames = sync.OnceValue(func() []string {
	names := make([]string, 0, len(runAdjectives)*len(runAnimals))
	for _, adjective := range runAdjectives {
		for _, animal := range runAnimals {
			names = append(names, adjective+"-"+animal)
		}
	}
	return names
})

var runAdjectives = [...]string{
	"amber", "bold", "brave", "brisk", "calm", "clever", "crisp", "daring", "eager", "early", "fair", "fleet", "frank",
	"gentle", "glad", "golden", "hardy", "honest", "humble", "jolly", "keen", "kind", "lively", "loyal", "lucid", "merry",
	"mild", "neat", "nimble", "noble", "patient", "placid", "proud", "quick", "quiet", "rapid", "ready", "robust", "sage",
	"sharp", "silver", "sleek", "smart", "snug", "solid", "spry", "steady", "stout", "sturdy", "subtle", "sunny", "swift",
	"tidy", "trusty", "upbeat", "valiant", "vivid", "warm", "wise", "witty",
}

var runAnimals = [...]string{
	"badger", "beaver", "bison", "bittern", "condor", "coot", "crane", "curlew", "deer", "dolphin", "dove", "dunlin",
	"eagle", "egret", "elk", "falcon", "ferret", "finch", "fox", "gannet", "gecko", "goose", "grebe", "grouse", "hare",
	"hawk", "heron", "hoopoe", "ibex", "ibis", "jackdaw", "kestrel", "kite", "lark", "linnet", "lynx", "magpie", "marten",
	"merlin", "mole", "moose", "newt", "oriole", "osprey", "otter", "owl", "panda", "pelican", "pipit", "plover", "puffin",
	"quail", "raven", "robin", "seal", "shrike", "stork", "swan", "tern", "wren",
}
