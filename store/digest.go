package store

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"hash"
	"strings"
)

// Diff returns the names of the declared fields in which two records differ.
func (r *DeploymentRecord) Diff(other *DeploymentRecord) []string {
	theirs := other.declared()
	var fields []string
	for i, mine := range r.declared() {
		if mine.text != theirs[i].text {
			fields = append(fields, mine.name)
		}
	}
	return fields
}

// ComputeDigest returns a hash of the declaration, for [DeploymentRecord.Digest]. To a store, two
// declarations with one digest are the same. Version is not part of it, so that a new build of an
// unchanged declaration resets nothing.
func (r *DeploymentRecord) ComputeDigest() string {
	h := sha256.New()
	for _, f := range r.declared() {
		if f.text != "" {
			writeSized(h, f.name)
			writeSized(h, f.text)
		}
	}
	var sum [sha256.Size]byte
	return hex.EncodeToString(h.Sum(sum[:0])[:16])
}

func writeSized(h hash.Hash, s string) {
	var size [8]byte
	binary.BigEndian.PutUint64(size[:], uint64(len(s)))
	h.Write(size[:])
	h.Write([]byte(s))
}

type declaredField struct{ name, text string }

// declared returns the declaration as text, field by field; "" where a field is zero.
func (r *DeploymentRecord) declared() []declaredField {
	return []declaredField{
		{"Entrypoint", r.Entrypoint},
		{"Path", r.Path},
		{"Parameters", declaredJSON(len(r.Parameters), r.Parameters)},
		{"ParameterSchema", string(r.ParameterSchema)},
		{"SkipParameterValidation", declaredFlag(r.SkipParameterValidation)},
		{"Schedules", declaredSchedules(r.Schedules)},
		{"Paused", declaredFlag(r.Pause.Declared)},
		{"Triggers", declaredJSON(len(r.Triggers), r.Triggers)},
		{"Description", r.Description},
		{"Tags", declaredJSON(len(r.Tags), r.Tags)},
		{"ConcurrencyLimit", declaredNumber(r.ConcurrencyLimit)},
		{"Overlap", string(r.Overlap)},
		{"LimitGroup", r.LimitGroup},
		{"MaxWaiting", declaredNumber(r.MaxWaiting)},
		{"Priority", declaredNumber(r.Priority)},
		{"RunOnStart", declaredFlag(r.RunOnStart)},
		{"AtMostOnce", declaredFlag(r.AtMostOnce)},
		{"Isolation", string(r.Isolation)},
		{"Env", declaredJSON(len(r.Env), r.Env)},
		{"WorkPool", r.WorkPool},
		{"WorkQueue", r.WorkQueue},
		{"JobVariables", declaredJSON(len(r.JobVariables), r.JobVariables)},
		{"PullSteps", declaredJSON(len(r.PullSteps), r.PullSteps)},
	}
}

func declaredFlag(set bool) string {
	if set {
		return "true"
	}
	return ""
}

func declaredNumber(n int) string {
	if n == 0 {
		return ""
	}
	return fmt.Sprint(n)
}

// declaredJSON encodes a value, which Validate has encoded before without an error.
func declaredJSON(size int, v any) string {
	if size == 0 {
		return ""
	}
	text, err := json.Marshal(v)
	if err != nil {
		return "unencodable: " + err.Error()
	}
	return string(text)
}

// declaredSchedules encodes schedules without what the store adds to them.
func declaredSchedules(schedules []ScheduleRecord) string {
	if len(schedules) == 0 {
		return ""
	}
	var b strings.Builder
	for _, s := range schedules {
		text, err := s.Schedule.MarshalJSON()
		if err != nil {
			text = []byte("unencodable: " + err.Error())
		}
		b.WriteString(s.Key)
		b.WriteByte(' ')
		b.Write(text)
		b.WriteByte('\n')
	}
	return b.String()
}
