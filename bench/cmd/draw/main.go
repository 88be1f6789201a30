// Command draw writes random rules to rrule/random.json, and keeps what is known about those that
// were there before. Run it in the root directory of this module.
package main

import (
	"log"
	"os"

	"github.com/provost-go/provost/bench/rrule"
)

func main() {
	log.SetFlags(0)
	table, err := rrule.LoadTable("rrule")
	if err != nil {
		log.Fatal(err)
	}
	known := make(map[string]map[string]string)
	for _, r := range table.Rules {
		known[r.Text] = r.Differs
	}
	rules := rrule.Draw(rrule.Seed, rrule.Drawn)
	for i, r := range rules {
		rules[i].Differs = known[r.Text]
	}
	text, err := rrule.MarshalLines(rules)
	if err != nil {
		log.Fatal(err)
	}
	if err := os.WriteFile("rrule/random.json", text, 0o644); err != nil {
		log.Fatal(err)
	}
}
