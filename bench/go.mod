module github.com/provost-go/provost/bench

go 1.26.0

replace github.com/provost-go/provost => ../

require (
	github.com/teambition/rrule-go v1.8.2
	golang.org/x/sync v0.24.0
)
