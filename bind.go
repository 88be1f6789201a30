package provost

import (
	"cmp"
	"errors"
	"flag"
	"fmt"
	"sync"

	"golang.org/x/sync/errgroup"

	"github.com/provost-go/provost/internal/engine"
	"github.com/provost-go/provost/internal/param"
)

// bind copies the deployments that a runner is to serve, and refuses those that it cannot. It works
// on several at once: there may be 100,000.
func bind(deployments []*Deployment, r *Runner) ([]*engine.Deployment, error) {
	if len(deployments) == 0 {
		return nil, errors.New("provost: Serve: no deployments; give at least one")
	}
	list := make([]*engine.Deployment, len(deployments))
	errs := make([]error, len(deployments))
	var flows sync.Map // AnyFlow to the *flow that its deployments share
	var group errgroup.Group
	const share = 1000
	for first := 0; first < len(deployments); first += share {
		group.Go(func() error {
			for i := first; i < min(first+share, len(deployments)); i++ {
				if list[i], errs[i] = bindOne(deployments[i], r, &flows); errs[i] != nil {
					errs[i] = fmt.Errorf("deployments[%d]: %w", i, errs[i])
				}
			}
			return nil
		})
	}
	if err := group.Wait(); err != nil {
		return nil, err
	}
	handles := make(map[string]bool, len(list))
	for i, d := range list {
		if d == nil {
			continue
		}
		h := d.Record.Handle()
		if handles[h] {
			errs = append(errs, fmt.Errorf("deployments[%d]: deployment %s: Name: is given twice; give each deployment of flow %q a name of its own", i, h, d.Flow.Name))
		}
		handles[h] = true
	}
	return list, errors.Join(errs...)
}

// bindOne is bind for one deployment. flows has the flows that were bound already: deployments
// share them.
func bindOne(d *Deployment, r *Runner, flows *sync.Map) (*engine.Deployment, error) {
	record, err := d.record()
	if err != nil {
		return nil, err
	}
	isolated := record.Isolation == Subprocess || record.Isolation == IsolationDefault && r.Isolation == Subprocess
	if err := refusal(record, isolated); err != nil {
		return nil, err
	}
	erased, ok := flows.Load(d.Flow)
	if !ok {
		erased, _ = flows.LoadOrStore(d.Flow, d.Flow.erase())
	}
	bound := &engine.Deployment{
		Record: record, ID: record.ID, Name: record.Name, Version: record.Version, Flow: erased.(*engine.Flow),
		OnStart: record.RunOnStart, Once: record.AtMostOnce, Limited: record.LimitKey() != "",
		Isolated: isolated, Path: record.Path, Env: record.Env, Retention: cmp.Or(d.Retention, r.Retention),
	}
	bound.Derived = d.ParameterSchema == nil
	schema, err := param.Compile(record.ParameterSchema)
	if err != nil {
		return nil, err
	}
	if !record.SkipParameterValidation {
		bound.Schema = schema
	}
	if schema.Schema.Secret() {
		bound.Secrets = schema
	}
	return bound, nil
}

// refusal returns why Serve does not execute a deployment that is valid in itself, nil if it does.
func refusal(r *DeploymentRecord, isolated bool) error {
	p := &problems{subject: "deployment " + r.Handle()}
	if r.WorkPool != "" {
		p.add("WorkPool", "is %q: its runs are for the workers of that pool; declare it with Client.Deploy, or remove WorkPool to serve it here", r.WorkPool)
	}
	if isolated && inTest() && !childServed.Load() {
		p.add("Isolation", "is Subprocess, but a run is this test binary started again, and it would run the tests: call "+
			"provost.ServeChild with the deployments first thing in TestMain, or use InProcess")
	}
	if r.Path != "" && r.WorkPool == "" && !isolated {
		p.add("Path", "is %q, but a goroutine has no working directory of its own; set Isolation to Subprocess, or remove Path", r.Path)
	}
	if len(r.Env) > 0 && r.WorkPool == "" && !isolated {
		p.add("Env", "is set, but a goroutine has no environment of its own; set Isolation to Subprocess, or remove Env")
	}
	if len(r.Triggers) > 0 {
		p.add("Triggers", "are set, but this version does not act on them yet; remove them")
	}
	return p.join()
}

// inTest reports whether this is a test binary, without importing testing.
func inTest() bool { return flag.Lookup("test.v") != nil }
