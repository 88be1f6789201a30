//go:build !unix

package jsonschema

import "time"

var begun = time.Now()

func spent() time.Duration { return time.Since(begun) }
