// Webhook posts JSON to a URL when a run has failed for good. Without -url it starts its own
// receiver, which prints the reports that it gets. It serves until one report has been posted, or
// with -serve until Ctrl-C.
package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/provost-go/provost"
)

// report is what the webhook sends. It leaves out the run's parameters and result, which may be
// confidential.
type report struct {
	Run        string    `json:"run"`
	ID         string    `json:"id"`
	Flow       string    `json:"flow"`
	Deployment string    `json:"deployment"`
	State      string    `json:"state"`
	Message    string    `json:"message"`
	Attempt    int       `json:"attempt"`
	Scheduled  time.Time `json:"scheduled"`
	Ended      time.Time `json:"ended"`
}

// webhook posts reports to a URL.
type webhook struct {
	url    string
	client *http.Client
}

func newWebhook(url string) *webhook {
	return &webhook{url: url, client: &http.Client{
		Timeout: 10 * time.Second,
		CheckRedirect: func(*http.Request, []*http.Request) error { // a report goes to this URL or nowhere
			return http.ErrUseLastResponse
		},
	}}
}

// post is a hook for Flow.OnFailure. The runner logs its error and does not call it again. A report
// that must arrive should be a run with retries, which the hook makes with Client.RunDeployment.
func (w *webhook) post(ctx context.Context, run *provost.Run) error {
	body, err := json.Marshal(report{
		Run: run.Name, ID: run.ID.String(), Flow: run.Flow, Deployment: run.Deployment, State: run.State.Name, Message: run.State.Message,
		Attempt: run.Attempt, Scheduled: run.ScheduledTime, Ended: run.EndTime,
	})
	if err != nil {
		return err
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, w.url, bytes.NewReader(body))
	if err != nil {
		return fmt.Errorf("webhook: %w", err)
	}
	request.Header.Set("Content-Type", "application/json")
	request.Header.Set("Idempotency-Key", run.ID.String()) // the receiver can drop a second copy
	response, err := w.client.Do(request)
	if err != nil {
		return fmt.Errorf("webhook: %w", err)
	}
	defer response.Body.Close()
	answer, _ := io.ReadAll(io.LimitReader(response.Body, 1<<10)) // its start, for the error
	if response.StatusCode < 200 || response.StatusCode > 299 {
		return fmt.Errorf("webhook: the receiver returned %s: %s", response.Status, bytes.TrimSpace(answer))
	}
	return nil
}

// receive prints the reports that it gets.
func receive(w http.ResponseWriter, r *http.Request) {
	var got report
	if err := json.NewDecoder(http.MaxBytesReader(w, r.Body, 1<<20)).Decode(&got); err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	fmt.Printf("received: %s/%s is %s after attempt %d: %s\n", got.Flow, got.Deployment, got.State, got.Attempt, got.Message)
	w.WriteHeader(http.StatusNoContent)
}

// startReceiver serves receive on a free port of this machine, until stop is called.
func startReceiver(ctx context.Context) (url string, stop func() error, err error) {
	listener, err := new(net.ListenConfig).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return "", nil, err
	}
	server := &http.Server{Handler: http.HandlerFunc(receive), ReadHeaderTimeout: 5 * time.Second}
	ended := make(chan error, 1)
	go func() { ended <- server.Serve(listener) }()
	stop = func() error {
		err := server.Close()
		if ended := <-ended; !errors.Is(ended, http.ErrServerClosed) {
			err = errors.Join(err, ended)
		}
		return err
	}
	return "http://" + listener.Addr().String(), stop, nil
}

func main() {
	url := flag.String("url", "", "where to post failures (default: a receiver in this program)")
	serve := flag.Bool("serve", false, "go on serving until Ctrl-C")
	flag.Parse()

	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // the first Ctrl-C drains, a second one kills at once
	if err := run(ctx, *url, *serve); err != nil {
		log.Fatal(err)
	}
}

func run(ctx context.Context, url string, serve bool) (err error) {
	if url == "" {
		var stopReceiver func() error
		if url, stopReceiver, err = startReceiver(ctx); err != nil {
			return err
		}
		defer func() { err = errors.Join(err, stopReceiver()) }()
	}
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	hook := newWebhook(url)
	var delivery error // of the one report; hooks have finished when Serve returns
	load := provost.NewJob("load", func(context.Context) error { return errors.New("connection refused") })
	load.Retries, load.Backoff = 2, provost.ExponentialBackoff(100*time.Millisecond, time.Second)
	load.OnFailure = func(ctx context.Context, run *provost.Run) error {
		err := hook.post(ctx, run)
		if !serve {
			delivery = err
			stop()
		}
		return err
	}
	orders := &provost.Deployment{Flow: load, Name: "orders", RunOnStart: true}
	if serve {
		orders.Schedules = []provost.Schedule{provost.Every(time.Minute)}
	}
	err = provost.Serve(ctx, orders)
	return errors.Join(err, delivery)
}
