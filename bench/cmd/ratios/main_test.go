package main

import (
	"io"
	"strings"
	"testing"
)

func TestPrintRatios(t *testing.T) {
	const measured = `goos: linux
BenchmarkCron/*÷15_*_*_*_*,_UTC/provost-2         	 1	       100.4 ns/op	       0 B/op
BenchmarkCron/*÷15_*_*_*_*,_UTC/provost-2         	 1	       900 ns/op	       0 B/op
BenchmarkCron/*÷15_*_*_*_*,_UTC/provost-2         	 1	       110.4 ns/op	       0 B/op
BenchmarkCron/*÷15_*_*_*_*,_UTC/robfig-2          	 1	       1000 ns/op	       0 B/op
BenchmarkCron/*÷15_*_*_*_*,_UTC/robfig-2          	 1	       1208 ns/op	       0 B/op
BenchmarkRRule/FREQ=MINUTELY/provost     	 1	       2000 ns/op
BenchmarkRRule/FREQ=MINUTELY/rrule-go    	 1	       4412345678 ns/op
PASS
`
	const want = `
| Cron | provost | robfig | times |
|---|---:|---:|---:|
| ` + "`*/15 * * * *, UTC`" + ` | 110ns | 1.1µs | 10 |

| RRule | provost | rrule-go | times |
|---|---:|---:|---:|
| ` + "`FREQ=MINUTELY`" + ` | 2µs | 4.41s | 2206173 |
`
	var got strings.Builder
	if err := printRatios(strings.NewReader(measured), &got, io.Discard); err != nil {
		t.Fatal(err)
	}
	if got.String() != want {
		t.Errorf("got %s\nwant %s", got.String(), want)
	}
	if err := printRatios(strings.NewReader("BenchmarkCron/x/provost 1 2 ns/op\n"), &got, io.Discard); err == nil {
		t.Error("one side alone is printed")
	}
}
