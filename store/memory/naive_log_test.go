package memory

import (
	"github.com/provost-go/provost/store"
)

// modelLog is what a run logged: each line that arrived, once, whatever was repeated.
type modelLog struct {
	lines   []string
	dropped int
	writers map[int64]*modelWriter // by token
}

// modelWriter is what the store was given under one lease.
type modelWriter struct{ given, lost int64 }

func (m *model) append(log store.RunLog) error {
	r, err := m.leased(log.Lease)
	if err != nil {
		return err
	}
	if r.log.writers == nil {
		r.log.writers = make(map[int64]*modelWriter)
	}
	w := r.log.writers[log.Token]
	if w == nil {
		w = &modelWriter{}
		r.log.writers[log.Token] = w
	}
	for ; w.lost < log.Dropped; w.lost++ {
		r.log.dropped++
	}
	for ; w.given < log.After; w.given++ { // these never came
		r.log.dropped++
	}
	for i, line := range log.Lines {
		if log.After+int64(i) == w.given {
			r.log.lines = append(r.log.lines, line.Message)
			w.given++
		}
	}
	return nil
}
