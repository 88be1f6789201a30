package provost_test

import (
	"testing"

	"github.com/provost-go/provost"
)

func TestMakeReport(t *testing.T) {
	ctx := provost.ContextWithRun(t.Context(), provost.RunInfo{Name: "test", Attempt: 1})
	summary, err := makeReport(ctx, ReportParams{Region: "eu"})
	if err != nil {
		t.Fatal(err)
	}
	if want := (Summary{Region: "eu", Orders: 42}); summary != want {
		t.Errorf("got %+v, want %+v", summary, want)
	}
}
