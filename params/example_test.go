package params_test

import (
	"fmt"

	"github.com/provost-go/provost/params"
)

// A Secret prints as *** wherever it goes. Only Reveal returns the value.
func ExampleSecret() {
	token := params.NewSecret("s3cr3t")
	fmt.Println(token)
	fmt.Printf("%+v\n", params.Params{"bucket": "reports", "token": token})
	fmt.Println(token.Reveal())
	// Output:
	// ***
	// map[bucket:reports token:***]
	// s3cr3t
}

// Later layers override earlier ones. A nested object is replaced as a whole.
func ExampleMerge() {
	deployment := params.Params{"region": "eu", "limit": 10, "owner": params.Params{"name": "Ada", "team": "finance"}}
	run := params.Params{"limit": 20, "owner": params.Params{"name": "Grace"}}
	fmt.Println(params.Merge(deployment, run))
	// Output: map[limit:20 owner:map[name:Grace] region:eu]
}
