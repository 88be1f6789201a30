package provost_test

import (
	"context"
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/provost-go/provost"
)

var order = provost.NewFlow("order", func(context.Context, orderParams) (orderResult, error) { return orderResult{}, nil })

// renamed returns a copy of the order flow with some fields changed.
func renamed(change func(f *provost.Flow[orderParams, orderResult])) *provost.Flow[orderParams, orderResult] {
	f := *order
	change(&f)
	return &f
}

func TestDeploymentValidateNamesFieldValueAndFix(t *testing.T) {
	var nilFlow *provost.Flow[orderParams, orderResult]
	required := provost.NewAction("f", func(context.Context, struct {
		In chan int `json:"in"`
	},
	) error {
		return nil
	})
	cases := []struct {
		name string
		d    *provost.Deployment
		want []string
	}{
		{"nil deployment", nil, []string{"nil", "give a *Deployment"}},
		{"nil flow", &provost.Deployment{Name: "d"}, []string{"Flow", "is nil", "NewFlow"}},
		{"typed nil flow", &provost.Deployment{Flow: nilFlow, Name: "d"}, []string{"Flow", "is nil", "NewFlow"}},
		{"flow without a function", &provost.Deployment{Flow: &provost.Flow[provost.None, string]{Name: "f"}, Name: "d"}, []string{"Flow", "no function", "NewFlow"}},
		{"nil function", &provost.Deployment{Flow: provost.NewJob("f", nil), Name: "d"}, []string{"Flow", "no function", "NewFlow"}},
		{"nil typed function", &provost.Deployment{Flow: provost.NewFlow[provost.None, string]("f", nil), Name: "d"}, []string{"Flow", "no function", "NewFlow"}},
		{"empty name", &provost.Deployment{Flow: order}, []string{"Name", "is empty", "give it a name"}},
		{"slash", &provost.Deployment{Flow: order, Name: "a/b"}, []string{"Name", `"a/b"`, `'/'`, "use letters"}},
		{"space around", &provost.Deployment{Flow: order, Name: " a"}, []string{"Name", `" a"`, "remove"}},
		{"control", &provost.Deployment{Flow: order, Name: "a\nb"}, []string{"Name", `"a\nb"`}},
		{"long name", &provost.Deployment{Flow: order, Name: strings.Repeat("x", 201)}, []string{"Name", "201", "at most 200"}},
		{"flow's name", &provost.Deployment{Flow: renamed(func(f *provost.Flow[orderParams, orderResult]) { f.Name = "" }), Name: "d"}, []string{"Flow.Name", "is empty"}},
		{"unknown zone", &provost.Deployment{Flow: order, Name: "d", Schedules: []provost.Schedule{provost.Cron("0 2 * * *").In("Europe/Berln")}}, []string{"Schedules[0]", "Europe/Berln", "Europe/Berlin"}},
		{"Local", &provost.Deployment{Flow: order, Name: "d", Schedules: []provost.Schedule{provost.Cron("0 2 * * *").In("Local")}}, []string{"Schedules[0]", "Local"}},
		{"impossible cron", &provost.Deployment{Flow: order, Name: "d", Schedules: []provost.Schedule{provost.Cron("0 0 30 2 *")}}, []string{"Schedules[0]", "0 0 30 2 *", "never"}},
		{"broken cron", &provost.Deployment{Flow: order, Name: "d", Schedules: []provost.Schedule{provost.Cron("61 * * * *")}}, []string{"Schedules[0]", "61"}},
		{"six fields", &provost.Deployment{Flow: order, Name: "d", Schedules: []provost.Schedule{provost.Cron("0 0 2 * * *")}}, []string{"Schedules[0]", "0 0 2 * * *", "five"}},
		{"negative interval", &provost.Deployment{Flow: order, Name: "d", Schedules: []provost.Schedule{provost.Every(-time.Second)}}, []string{"Schedules[0]", "-1s", "1ms"}},
		{"zero interval", &provost.Deployment{Flow: order, Name: "d", Schedules: []provost.Schedule{provost.Every(0)}}, []string{"Schedules[0]", "0s", "1ms"}},
		{"zero schedule", &provost.Deployment{Flow: order, Name: "d", Schedules: []provost.Schedule{{}}}, []string{"Schedules[0]", "empty", "Cron"}},
		{"At never", &provost.Deployment{Flow: order, Name: "d", Schedules: []provost.Schedule{provost.At(time.Time{})}}, []string{"Schedules[0]", "zero time"}},
		{"negative jitter", &provost.Deployment{Flow: order, Name: "d", Schedules: []provost.Schedule{provost.Every(time.Hour).Jitter(-1)}}, []string{"Schedules[0]", "jitter"}},
		{"one key twice", &provost.Deployment{Flow: order, Name: "d", Schedules: []provost.Schedule{provost.Every(time.Hour), provost.Every(time.Hour).WithParameters(provost.Params{"region": "us"})}}, []string{"Schedules[1]", "Schedules[0]", "Named"}},
		{"one slug twice", &provost.Deployment{Flow: order, Name: "d", Schedules: []provost.Schedule{provost.Every(time.Hour).Named("a"), provost.Every(time.Minute).Named("a")}}, []string{"Schedules[1]", `"a"`, "Named"}},
		{"wrong type", &provost.Deployment{Flow: order, Name: "d", Parameters: provost.Params{"count": "three"}}, []string{"Parameters", "count", "whole number"}},
		{"not in the enum", &provost.Deployment{Flow: order, Name: "d", Parameters: provost.Params{"region": "mars"}}, []string{"Parameters", "region", "eu", "us"}},
		{"unknown parameter", &provost.Deployment{Flow: order, Name: "d", Parameters: provost.Params{"regoin": "us"}}, []string{"Parameters", "regoin"}},
		{"parameter without a JSON form", &provost.Deployment{Flow: order, Name: "d", Parameters: provost.Params{"count": make(chan int)}}, []string{"Parameters", "count", "chan int"}},
		{"schedule's parameter", &provost.Deployment{Flow: order, Name: "d", Schedules: []provost.Schedule{provost.Every(time.Hour).WithParameters(provost.Params{"count": "x"})}}, []string{"Schedules[0]", "count", "whole number"}},
		{"chan parameter type", &provost.Deployment{Flow: required, Name: "d"}, []string{"Flow", "chan int", "in"}},
		{"func result type", &provost.Deployment{Flow: provost.NewFlow("f", func(context.Context, provost.None) (func(), error) { return nil, nil }), Name: "d"}, []string{"Flow", "func()"}},
		{"parameter type that is not a struct", &provost.Deployment{Flow: provost.NewFlow("f", func(context.Context, int) (string, error) { return "", nil }), Name: "d"}, []string{"Flow", "int", "struct"}},
		{"negative limit", &provost.Deployment{Flow: order, Name: "d", ConcurrencyLimit: -1}, []string{"ConcurrencyLimit", "-1", "give 0"}},
		{"negative waiting", &provost.Deployment{Flow: order, Name: "d", MaxWaiting: -1}, []string{"MaxWaiting", "-1", "give 0"}},
		{"group without a size", &provost.Deployment{Flow: order, Name: "d", LimitGroup: "g"}, []string{"LimitGroup", `"g"`, "ConcurrencyLimit"}},
		{"overlap", &provost.Deployment{Flow: order, Name: "d", Overlap: "queue"}, []string{"Overlap", `"queue"`, "OverlapEnqueue"}},
		{"isolation", &provost.Deployment{Flow: order, Name: "d", Isolation: "docker"}, []string{"Isolation", `"docker"`, "InProcess"}},
		{"entrypoint", &provost.Deployment{Flow: provost.NewJob("f", nothing), Name: "d", Entrypoint: "main.other"}, []string{"Entrypoint", "main.other", "nothing"}},
		{"retries", &provost.Deployment{Flow: renamed(func(f *provost.Flow[orderParams, orderResult]) { f.Retries = -2 }), Name: "d"}, []string{"Flow.Retries", "-2", "give 0"}},
		{"at most once with retries", &provost.Deployment{Flow: renamed(func(f *provost.Flow[orderParams, orderResult]) { f.Retries, f.AtMostOnce = 1, true }), Name: "d"}, []string{"Flow.Retries", "AtMostOnce"}},
		{"timeout", &provost.Deployment{Flow: renamed(func(f *provost.Flow[orderParams, orderResult]) { f.Timeout = -1 }), Name: "d"}, []string{"Flow.Timeout", "-1ns", "give 0"}},
		{"trigger", &provost.Deployment{Flow: order, Name: "d", Triggers: []json.RawMessage{[]byte("{")}}, []string{"Triggers[0]", "not JSON"}},
		{"schema", &provost.Deployment{Flow: order, Name: "d", ParameterSchema: json.RawMessage(`{"type":"strnig"}`)}, []string{"ParameterSchema", "strnig"}},
		{"remote schema", &provost.Deployment{Flow: order, Name: "d", ParameterSchema: json.RawMessage(`{"$ref":"http://127.0.0.1/x"}`)}, []string{"ParameterSchema", "$ref"}},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			wantError(t, c.d.Validate(), c.want...)
			wantError(t, provost.Serve(t.Context(), c.d), c.want...)
			_, err := provost.NewClient(provost.NewMemoryStore()).Deploy(t.Context(), c.d)
			wantError(t, err, c.want...)
		})
	}
}

func TestDeploymentValidateReportsAllProblemsAtOnce(t *testing.T) {
	f := renamed(func(f *provost.Flow[orderParams, orderResult]) { f.Name, f.Retries = "a/b", -1 })
	err := (&provost.Deployment{
		Flow: f, Name: "c%d", Schedules: []provost.Schedule{provost.Every(-1), provost.Cron("x")},
		Parameters: provost.Params{"count": "x", "regoin": 1}, ConcurrencyLimit: -1, MaxWaiting: -1, WorkQueue: "q",
	}).Validate()
	wantError(t, err, "Flow.Name", "Flow.Retries", "Name", "Schedules[0]", "Schedules[1]", "count", "regoin",
		"ConcurrencyLimit", "MaxWaiting", "WorkQueue")
}

func TestServeReportsAllDeploymentsAtOnce(t *testing.T) {
	err := (&provost.Runner{Limit: -5}).Serve(t.Context(), &provost.Deployment{Name: "x"}, nil, job("f", nothing), job("f", nothing))
	wantError(t, err, "Limit", "-5", "deployments[0]", "deployments[1]", "deployments[3]", "f/d", "given twice")
}

func TestServeRefusesUnsupportedFields(t *testing.T) {
	cases := []struct {
		field string
		d     provost.Deployment
		want  string
	}{
		{"WorkPool", provost.Deployment{WorkPool: "k8s"}, "Client.Deploy"},
		{"Triggers", provost.Deployment{Triggers: []json.RawMessage{[]byte("{}")}}, "remove them"},
		{"Path", provost.Deployment{Path: "/tmp"}, "Subprocess"},
		{"Env", provost.Deployment{Env: map[string]string{"A": "b"}}, "Subprocess"},
	}
	for _, c := range cases {
		t.Run(c.field, func(t *testing.T) {
			c.d.Flow, c.d.Name = order, "d"
			if err := c.d.Validate(); err != nil {
				t.Errorf("Validate: %v", err)
			}
			wantError(t, provost.Serve(t.Context(), &c.d), "order/d", c.field, c.want)
			if _, err := provost.NewClient(provost.NewMemoryStore()).Deploy(t.Context(), &c.d); err != nil {
				t.Errorf("Deploy: %v", err)
			}
		})
	}
}

func TestServeRefusesInvalidRunners(t *testing.T) {
	cases := []struct {
		r    *provost.Runner
		want []string
	}{
		{&provost.Runner{Limit: -2}, []string{"Limit", "-2", "-1"}},
		{&provost.Runner{PollInterval: -1}, []string{"PollInterval", "-1ns", "1ms"}},
		{&provost.Runner{LeaseTTL: time.Millisecond}, []string{"LeaseTTL", "1ms", "1s"}},
		{&provost.Runner{ShutdownTimeout: -time.Second}, []string{"ShutdownTimeout", "-1s", "-1"}},
		{&provost.Runner{Isolation: "thread"}, []string{"Isolation", "thread", "InProcess", "Subprocess"}},
		{&provost.Runner{WarmChildren: -1}, []string{"WarmChildren", "-1"}},
		{&provost.Runner{RunsPerChild: -2}, []string{"RunsPerChild", "-2"}},
		{&provost.Runner{ChildMemory: -3}, []string{"ChildMemory", "-3"}},
	}
	for _, c := range cases {
		wantError(t, c.r.Serve(t.Context(), job("f", nothing)), c.want...)
	}
	wantError(t, provost.Serve(t.Context()), "no deployments", "at least one")
	ended, cancel := context.WithCancelCause(t.Context())
	cancel(context.DeadlineExceeded)
	err := provost.Serve(ended, job("f", nothing))
	wantError(t, err, "ended before")
	wantIs(t, err, context.DeadlineExceeded)
}

func TestServeTwiceOnOneRunner(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := &provost.Runner{}
		stop := start(t, r, job("f", nothing))
		wantError(t, r.Serve(t.Context(), job("g", nothing)), "before", "use a new one")
		clean(t, stop)
		wantError(t, r.Serve(t.Context(), job("g", nothing)), "before", "use a new one")
	})
}

func TestServeCopiesOnEntry(t *testing.T) {
	bubble(t, func(t *testing.T) {
		f := provost.NewFlow("f", func(_ context.Context, p orderParams) (string, error) { return p.Region, nil })
		store := provost.NewMemoryStore()
		d := &provost.Deployment{Flow: f, Name: "d", Parameters: provost.Params{"region": "us"}, Tags: []string{"a"}}
		r := &provost.Runner{Store: store}
		stop := start(t, r, d)
		d.Parameters["region"], d.Tags[0], d.Name = "mars", "b", "e"
		f.Name, f.Timeout, r.Store, r.Limit = "g", 1, nil, -7
		run := runNow(t, provost.NewClient(store), "f/d", nil)
		wantState(t, run, provost.StateCompleted)
		if got, _ := f.Result(run); got != "us" || run.Tags[0] != "a" {
			t.Errorf("result %q, tags %v, want us and [a]", got, run.Tags)
		}
		clean(t, stop)
	})
}
