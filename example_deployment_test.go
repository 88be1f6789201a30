package provost_test

import (
	"fmt"
	"time"

	"github.com/provost-go/provost"
)

// Validate reports every problem at once.
func ExampleDeployment_Validate() {
	flow := provost.NewFlow("report", makeReport)
	flow.Retries = -1
	d := &provost.Deployment{
		Flow:       flow,
		Name:       "every/night",
		Schedules:  []provost.Schedule{provost.Cron("0 25 * * *"), provost.Every(time.Microsecond)},
		Parameters: provost.Params{"region": "mars"},
	}
	fmt.Println(d.Validate())
	// Output:
	// deployment report/every/night: Flow.Retries: is -1; give 0 or more
	// deployment report/every/night: Name: "every/night" contains '/'; use letters, digits, - and _ instead
	// deployment report/every/night: Parameters: parameter region: expected one of "eu", "us"; got the text "mars"
	// deployment report/every/night: Schedules[0]: schedule: field 2 (hour) is "25": hours go from 0 to 23
	// deployment report/every/night: Schedules[1]: schedule: interval is 1µs: the shortest is 1ms
}
