// Command vectors writes the rules on which the oracle and at least one peer agree, with their
// instants, to the test data of the main module, whose tests import no oracle. It needs every peer.
// Run it in the root directory of this module.
package main

import (
	"errors"
	"fmt"
	"log"
	"os"
	"strings"
	"time"

	"github.com/provost-go/provost/bench/rrule"
)

const (
	path     = "../internal/recur/testdata/rrule_vectors.json"
	instants = 40 // of one vector, at most
)

// vector is a rule with its first instants since 1900.
type vector struct {
	Rule     string      `json:"rule"`
	Zone     string      `json:"zone,omitzero"` // for Schedule.In; "" for none
	Peers    []string    `json:"peers"`         // that agree with the oracle
	Complete bool        `json:"complete"`      // there are no more instants
	Instants []time.Time `json:"instants"`
}

func main() {
	log.SetFlags(0)
	if err := write(); err != nil {
		log.Fatal(err)
	}
}

func write() (err error) {
	table, err := rrule.LoadTable("rrule")
	if err != nil {
		return err
	}
	work, err := os.MkdirTemp("", "vectors")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(work)) }()
	peers := rrule.Peers("rrule", work)
	for _, p := range peers {
		if err := p.Start(); err != nil {
			return err
		}
		defer func() { err = errors.Join(err, p.Close()) }()
	}
	expected, err := table.Expand()
	if err != nil {
		return err
	}
	survey, err := table.Ask(peers, expected)
	if err != nil {
		return err
	}
	if unexpected := survey.Unexpected(); unexpected != nil {
		return errors.New(strings.Join(unexpected, "\n"))
	}

	var vectors []vector
	for i, r := range table.Rules {
		agreeing := survey.Agreeing(i)
		if agreeing == nil {
			continue
		}
		v := vector{Rule: r.Text, Zone: r.Zone, Peers: agreeing, Instants: expected[i]}
		if len(v.Instants) > instants {
			v.Instants = v.Instants[:instants]
		} else {
			v.Complete = len(v.Instants) < r.N
		}
		vectors = append(vectors, v)
	}
	text, err := rrule.MarshalLines(vectors)
	if err != nil {
		return err
	}
	if err := os.WriteFile(path, text, 0o644); err != nil {
		return err
	}
	fmt.Print(survey.Counts())
	fmt.Printf("%d vectors\n", len(vectors))
	return nil
}
