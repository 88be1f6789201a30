package provost_test

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/provost-go/provost"
	"github.com/provost-go/provost/store"
)

// read returns the messages of a log.
func read(t *testing.T, c *provost.Client, id uuid.UUID, options *provost.LogOptions) (messages []string) {
	t.Helper()
	for line, err := range c.Logs(t.Context(), id, options) {
		if err != nil {
			t.Fatal(err)
		}
		messages = append(messages, line.Message)
	}
	return messages
}

func TestLogsOptions(t *testing.T) {
	bubble(t, func(t *testing.T) {
		f := provost.NewJob("f", func(ctx context.Context) error {
			for i, level := range []slog.Level{slog.LevelDebug, slog.LevelInfo, slog.LevelWarn, slog.LevelInfo, slog.LevelError} {
				provost.Logger(ctx).Log(ctx, level, fmt.Sprint(i+1))
				time.Sleep(time.Minute)
			}
			return nil
		})
		c, stop := serveFlow(t, f)
		defer stop()
		run := request(t, c, "f/d", nil)
		time.Sleep(150 * time.Second)
		if got := read(t, c, run.ID, nil); !slices.Equal(got, []string{"1", "2", "3"}) {
			t.Errorf("a run that goes on has logged %q", got)
		}
		for _, test := range []struct {
			options provost.LogOptions
			want    string
		}{
			{provost.LogOptions{Follow: true}, "1 2 3 4 5"},
			{provost.LogOptions{}, "1 2 3 4 5"},
			{provost.LogOptions{MinLevel: slog.LevelWarn}, "3 5"},
			{provost.LogOptions{MinLevel: slog.LevelError + 1}, ""},
			{provost.LogOptions{After: 3}, "4 5"},
			{provost.LogOptions{After: 5}, ""},
			{provost.LogOptions{After: 100}, ""},
			{provost.LogOptions{After: 3, MinLevel: slog.LevelWarn, Follow: true}, "5"},
		} {
			logs := c.Logs(t.Context(), run.ID, &test.options)
			for range 2 { // the iterator can be ranged over again
				var got []string
				for line, err := range logs {
					if err != nil {
						t.Fatal(err)
					}
					got = append(got, line.Message)
				}
				if strings.Join(got, " ") != test.want {
					t.Errorf("%+v: %q, want %s", test.options, got, test.want)
				}
			}
		}
	})
}

func TestLogsFollowFromALevelAndALineOn(t *testing.T) {
	bubble(t, func(t *testing.T) {
		f := provost.NewJob("f", func(ctx context.Context) error {
			for i := range 10 {
				provost.Logger(ctx).Log(ctx, []slog.Level{slog.LevelInfo, slog.LevelWarn}[i%2], fmt.Sprint(i+1))
				time.Sleep(time.Minute)
			}
			return nil
		})
		c, stop := serveFlow(t, f)
		defer stop()
		run, began := request(t, c, "f/d", nil), time.Now()
		want := int64(4)
		for line, err := range c.Logs(t.Context(), run.ID, &provost.LogOptions{Follow: true, MinLevel: slog.LevelWarn, After: 3}) {
			if err != nil {
				t.Fatal(err)
			}
			if line.Seq != want || time.Since(began) != time.Duration(want-1)*time.Minute {
				t.Errorf("line %+v after %v, want line %d", line, time.Since(began), want)
			}
			want += 2
		}
		if want != 12 || time.Since(began) != 10*time.Minute {
			t.Errorf("the next line would have been %d after %v", want, time.Since(began))
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		again := request(t, c, "f/d", nil)
		var last error
		for _, err := range c.Logs(ctx, again.ID, &provost.LogOptions{Follow: true}) {
			last = err
		}
		wantIs(t, last, context.DeadlineExceeded)
		wait(t, c, again.ID)
	})
}

func TestLogsCountDroppedLinesAtTheEnd(t *testing.T) {
	bubble(t, func(t *testing.T) {
		const size = 1000
		kept := store.MaxRunLog / (size + store.LogLineCost)
		f := provost.NewJob("f", func(ctx context.Context) error {
			for range kept + 2 {
				provost.Logger(ctx).Info(strings.Repeat("x", size))
				time.Sleep(time.Second)
			}
			return nil
		})
		c, stop := serveFlow(t, f)
		defer stop()
		run := wait(t, c, request(t, c, "f/d", nil).ID)
		for _, test := range []struct {
			options provost.LogOptions
			lines   int
		}{
			{provost.LogOptions{}, kept},
			{provost.LogOptions{Follow: true}, kept},
			{provost.LogOptions{MinLevel: slog.LevelError}, 0},
			{provost.LogOptions{After: 2}, kept - 2},
			{provost.LogOptions{After: int64(kept)}, 0},
		} {
			var lines []provost.LogRecord
			for line, err := range c.Logs(t.Context(), run.ID, &test.options) {
				if err != nil {
					t.Fatal(err)
				}
				lines = append(lines, line)
			}
			if len(lines) != test.lines+1 {
				t.Fatalf("%+v: %d lines, want %d and one that counts the others", test.options, len(lines), test.lines)
			}
			last, seq := lines[test.lines], test.options.After
			if test.lines > 0 {
				seq = lines[test.lines-1].Seq
			}
			if last.Level != slog.LevelWarn || last.RunID != run.ID || last.Seq != seq || !strings.HasPrefix(last.Message, "2 lines were dropped") {
				t.Errorf("%+v: the last line is %+v, want Seq %d", test.options, last, seq)
			}
		}
	})
}
