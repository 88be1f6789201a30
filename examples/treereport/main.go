// Treereport serves two deployments of one flow, which walks a directory tree and writes a JSON
// report about it, and starts another run by hand. With -serve it goes on serving until Ctrl-C.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"log"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"time"
	_ "time/tzdata"

	"github.com/provost-go/provost"
)

// ReportParams are the parameters of a run.
type ReportParams struct {
	Root       string   `json:"root" required:"true" description:"Directory to report on"`
	Extensions []string `json:"extensions,omitempty" description:"Only files with these, such as .go; all if empty"`
	Largest    int      `json:"largest" default:"3" minimum:"1" maximum:"100" description:"Files to name for each extension"`
}

// reporter holds what all runs share.
type reporter struct{ out string }

// report walks a tree and writes the report to a file. The file is named for the run, so that
// another attempt, for example after a crash, replaces the report and does not add a second one.
func (r *reporter) report(ctx context.Context, p ReportParams) (Report, error) {
	info, _ := provost.RunFromContext(ctx)
	report, err := walk(ctx, os.DirFS(p.Root), p.Extensions, p.Largest)
	if err != nil {
		return Report{}, fmt.Errorf("walk %s: %w", p.Root, err)
	}
	report.Root = p.Root
	text, err := json.MarshalIndent(report, "", "\t")
	if err != nil {
		return Report{}, err
	}
	file := filepath.Join(r.out, info.Deployment+"-"+info.ID.String()+".json")
	if err := os.WriteFile(file, append(text, '\n'), 0o644); err != nil {
		return Report{}, err
	}
	provost.Logger(ctx).Info("report written", "file", file, "files", report.Files, "bytes", report.Bytes)
	return report, nil
}

func main() {
	root := flag.String("root", "", "directory to report on (default: the source of the Go installation)")
	out := flag.String("out", "", "directory for the reports (default: a temporary one)")
	serve := flag.Bool("serve", false, "go on serving until Ctrl-C")
	flag.Parse()

	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // the first Ctrl-C drains, a second one kills at once
	if err := run(ctx, *root, *out, *serve); err != nil {
		log.Fatal(err)
	}
}

func run(ctx context.Context, root, out string, serve bool) (err error) {
	if root == "" {
		if root, err = goSource(ctx); err != nil {
			return err
		}
	}
	if _, err := os.Stat(root); err != nil {
		return err // at once, not after the retries of a run
	}
	if out == "" {
		if out, err = os.MkdirTemp("", "treereport-"); err != nil {
			return err
		}
	} else if err := os.MkdirAll(out, 0o755); err != nil {
		return err
	}
	fmt.Println("reports go to", out)

	flow := provost.NewFlow("tree-report", (&reporter{out: out}).report)
	flow.Timeout = 5 * time.Minute
	flow.Retries, flow.RetryDelay = 2, 10*time.Second

	ctx, stop := context.WithCancel(ctx)
	defer stop()
	runner := &provost.Runner{Store: provost.NewMemoryStore()}
	served := make(chan error, 1)
	go func() { served <- runner.Serve(ctx, deployments(flow, root)...) }()
	select {
	case <-runner.Ready():
	case err := <-served: // it could not start
		return err
	}
	err = reportByHand(ctx, provost.NewClient(runner.Store), flow)
	if errors.Is(err, context.Canceled) {
		err = nil // Ctrl-C during the run
	}
	if err != nil || !serve {
		stop()
	}
	return errors.Join(err, <-served)
}

// deployments returns two ways to run the flow: often on Go files, and each night on everything.
func deployments(flow *provost.Flow[ReportParams, Report], root string) []*provost.Deployment {
	return []*provost.Deployment{
		{
			Flow:       flow,
			Name:       "go-files",
			Schedules:  []provost.Schedule{provost.Every(10 * time.Second).CatchUp(provost.CatchUpNone)},
			Parameters: flow.Params(ReportParams{Root: root, Extensions: []string{".go"}}),
			Tags:       []string{"frequent"},
			RunOnStart: true,
		},
		{
			Flow:       flow,
			Name:       "everything",
			Schedules:  []provost.Schedule{provost.Cron("30 2 * * *").In("Europe/Berlin")},
			Parameters: flow.Params(ReportParams{Root: root, Largest: 10}),
			Tags:       []string{"nightly"},
		},
	}
}

// reportByHand runs a deployment now with other parameters, waits for the run and prints its
// result.
func reportByHand(ctx context.Context, client *provost.Client, flow *provost.Flow[ReportParams, Report]) error {
	started, err := provost.Start(ctx, client, flow, "everything", ReportParams{Extensions: []string{".s", ".txt"}, Largest: 1})
	if err != nil {
		return err
	}
	finished, err := client.Wait(ctx, started.ID)
	if err != nil {
		return err
	}
	report, err := flow.Result(finished)
	if err != nil {
		return err
	}
	fmt.Printf("run %s of %s: %d files, %d bytes\n", finished.Name, report.Root, report.Files, report.Bytes)
	for _, e := range report.Extensions {
		fmt.Printf("  %-5s %6d files %12d bytes, the largest is %s\n", e.Extension, e.Files, e.Bytes, e.Largest[0].Path)
	}
	return nil
}

// goSource returns the directory of the source of the Go installation.
func goSource(ctx context.Context) (string, error) {
	goroot, err := exec.CommandContext(ctx, "go", "env", "GOROOT").Output()
	if err != nil {
		return "", fmt.Errorf("find the Go installation, or set -root: %w", err)
	}
	return filepath.Join(strings.TrimSpace(string(goroot)), "src"), nil
}
