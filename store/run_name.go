package store

import (
	"encoding/binary"
	"sync"

	"github.com/google/uuid"
)

// RunName returns the name of a run that was given none: two words, chosen by its ID. Stores use it
// for planned runs.
func RunName(id uuid.UUID) string {
	return runNames()[binary.BigEndian.Uint16(id[14:])%uint16(len(runAdjectives)*len(runAnimals))]
}

// runNames returns all names, made when they are first needed.
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
