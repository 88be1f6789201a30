package provost_test

import (
	"context"
	"fmt"
	"log"
	"net/http"
	"os"
	"os/signal"
	"syscall"

	"github.com/provost-go/provost"
)

// A service that resizes images in subprocesses: a run that uses up its memory, or calls a C
// library that crashes, does not end the service.
func ExampleServeChild() {
	resize := provost.NewAction("resize", func(ctx context.Context, p struct {
		Image string `json:"image"`
	},
	) error {
		fmt.Println("resizing", p.Image) // goes to the log of the run
		return nil
	})
	d := &provost.Deployment{Flow: resize, Name: "nightly", Isolation: provost.Subprocess}

	main := func() {
		provost.ServeChild(d) // first of all: a subprocess gets no further

		go func() { log.Fatal(http.ListenAndServe("localhost:8080", nil)) }()

		ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
		defer stop()
		r := &provost.Runner{WarmChildren: 2, ChildMemory: 512 << 20}
		if err := r.Serve(ctx, d); err != nil {
			log.Fatal(err)
		}
	}
	_ = main
}
