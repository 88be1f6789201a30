// Command draw writes the rules that chance made to rrule/random.json, with what is known about them if they were there
// before. Run it in the folder of this module.
package main

import (
	"log"
	"os"

	"github.com/provost-go/provost/bench/rrule"
)

func main() {
	log.SetFlags(0)
	rules := rrule.Draw(rrule.Seed, rrule.Drawn)
	text, err := rrule.MarshalLines(rules)
	if err != nil {
		log.Fatal(err)
	}
	if err := os.WriteFile("rrule/random.json", text, 0o644); err != nil {
		log.Fatal(err)
	}
}
