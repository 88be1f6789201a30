package store

import (
	"reflect"
	"strings"
	"testing"

	"github.com/google/uuid"
)

// TestResolve resolves filters by ID, by handle and by both.
func TestResolve(t *testing.T) {
	id, other := DeploymentID("etl", "nightly"), DeploymentID("etl", "hourly")
	for _, test := range []struct {
		id     uuid.UUID
		handle string
		want   uuid.UUID
		errs   []string // what the error names; nil for none
	}{
		{uuid.Nil, "", uuid.Nil, nil},
		{id, "", id, nil},
		{uuid.Nil, "etl/nightly", id, nil},
		{id, "etl/nightly", id, nil},
		{uuid.Nil, "nightly", uuid.Nil, []string{`"nightly"`, "flow/deployment"}},
		{id, "nightly", uuid.Nil, []string{`"nightly"`, "flow/deployment"}},
		{other, "etl/nightly", uuid.Nil, []string{`"etl/nightly"`, id.String(), other.String()}},
	} {
		runs, err := RunFilter{DeploymentID: test.id, Deployment: test.handle, Schedule: "s", Limit: 7}.Resolve()
		checkResolve(t, test.id, test.handle, err, test.errs)
		if want := (RunFilter{DeploymentID: test.want, Schedule: "s", Limit: 7}); err == nil && !reflect.DeepEqual(runs, want) {
			t.Errorf("runs of %s, %q: got %+v, want %+v", test.id, test.handle, runs, want)
		}
		skips, err := SkipFilter{DeploymentID: test.id, Deployment: test.handle, Schedule: "s", Limit: 7}.Resolve()
		checkResolve(t, test.id, test.handle, err, test.errs)
		if want := (SkipFilter{DeploymentID: test.want, Schedule: "s", Limit: 7}); err == nil && skips != want {
			t.Errorf("skips of %s, %q: got %+v, want %+v", test.id, test.handle, skips, want)
		}
	}
}

func checkResolve(t *testing.T, id uuid.UUID, handle string, err error, want []string) {
	t.Helper()
	if (err == nil) != (want == nil) {
		t.Errorf("%s, %q: got error %v, want one that names %v", id, handle, err, want)
	}
	for _, text := range want {
		if err != nil && !strings.Contains(err.Error(), text) {
			t.Errorf("%s, %q: got error %q, want it to name %s", id, handle, err, text)
		}
	}
}
