// Isolated is a service for tests, like those that people write: its main reads flags and opens a
// port before it serves. It executes one run, prints the result and exits.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"log"
	"log/slog"
	"net"
	"os"
	"os/exec"
	"time"

	"github.com/provost-go/provost"
)

var flow = provost.NewAction("flow", func(ctx context.Context, p struct {
	File string `json:"file"`
},
) error {
	if p.File == "" {
		fmt.Println("hello from the subprocess")
		return nil
	}
	sleeper := exec.Command("sleep", "1000")
	if err := sleeper.Start(); err != nil {
		return err
	}
	pids := fmt.Sprintf("%d %d", os.Getpid(), sleeper.Process.Pid)
	if err := os.WriteFile(p.File+".tmp", []byte(pids), 0o600); err != nil {
		return err
	}
	if err := os.Rename(p.File+".tmp", p.File); err != nil {
		return err
	}
	select {}
})

func main() {
	d := &provost.Deployment{Flow: flow, Name: "d", Isolation: provost.Subprocess}
	mode := os.Getenv("MODE")
	if mode == "" || mode == "replaced" {
		provost.ServeChild(d)
	}
	address := flag.String("address", "", "address to listen on")
	file := flag.String("file", "", "file to which the flow writes the IDs of its processes")
	flag.Parse()
	switch mode {
	case "stuck":
		if provost.InChild() {
			select {}
		}
	case "two": // another runner serves first and does not have the deployment
		other := *d
		other.Name = "other"
		go provost.Serve(context.Background(), &other)
		time.Sleep(100 * time.Millisecond)
	case "replaced":
		path, err := os.Executable()
		check(err)
		check(os.Remove(path))
		check(os.WriteFile(path, []byte("another build"), 0o700))
	}
	if *address != "" {
		listener, err := net.Listen("tcp", *address)
		check(err)
		defer listener.Close()
	}
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	r := &provost.Runner{Store: provost.NewMemoryStore(), Logger: slog.New(slog.DiscardHandler)}
	go func() {
		defer cancel()
		<-r.Ready()
		c := provost.NewClient(r.Store)
		run, err := c.RunDeployment(ctx, "flow/d", &provost.RunOptions{Parameters: provost.Params{"file": *file}})
		if errors.Is(err, provost.ErrNotFound) {
			return // Serve refused the deployment and returns why
		}
		check(err)
		run, err = c.Wait(ctx, run.ID)
		check(err)
		fmt.Println(run.State.Type, run.State.Message)
		for line, err := range c.Logs(ctx, run.ID, nil) {
			check(err)
			fmt.Println("log:", line.Message)
		}
	}()
	check(r.Serve(ctx, d))
}

func check(err error) {
	if err != nil {
		log.Fatal(err)
	}
}
