package provost_test

import (
	"context"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/provost-go/provost"
)

type exportParams struct {
	Region string
	Target struct{ Bucket string }
}

// TestDeploymentTakesDocs checks that the descriptions of a deployment and of its parameters come
// from the flow's source.
func TestDeploymentTakesDocs(t *testing.T) {
	const source = `package provost_test

type exportParams struct {
	Region string // Region is where the data is.
	Target struct {
		// Bucket is S3's.
		Bucket string
	}
}

// exportAll does it.
func exportAll(ctx context.Context, p exportParams) error { return nil }
`
	flow := provost.NewAction("export", exportAll)
	flow.Source = fstest.MapFS{"flow.go": {Data: []byte(source)}}
	r, err := provost.NewClient(provost.NewMemoryStore()).Deploy(t.Context(), &provost.Deployment{Flow: flow, Name: "nightly"})
	if err != nil {
		t.Fatal(err)
	}
	if r.Description != "exportAll does it." {
		t.Errorf("description %q, want %q", r.Description, "exportAll does it.")
	}
	for _, want := range []string{`"description":"Region is where the data is."`, `"description":"Bucket is S3's."`} {
		if !strings.Contains(string(r.ParameterSchema), want) {
			t.Errorf("schema %s does not contain %s", r.ParameterSchema, want)
		}
	}
}

func exportAll(context.Context, exportParams) error { return nil }
