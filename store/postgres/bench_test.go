package postgres_test

import (
	"testing"

	"github.com/provost-go/provost"
	"github.com/provost-go/provost/store/internal/storebench"
)

// BenchmarkThroughput waits for the server's disk at each commit.
//
//	go test -run '^$' -bench Throughput -benchtime 100000x ./store/postgres
func BenchmarkThroughput(b *testing.B) { storebench.Throughput(b, open(b, schema(b))) }

// BenchmarkClaim fills schemas with a million runs.
//
//	go test -run '^$' -bench Claim -benchtime 100x -timeout 1h ./store/postgres
func BenchmarkClaim(b *testing.B) {
	storebench.Claim(b, func(b *testing.B) provost.Store { return open(b, schema(b)) })
}
