package recur

import (
	"fmt"
	"time"
)

func loadLocation(name string, load func(string) (*time.Location, error)) (*time.Location, error) {
	if name == "Local" {
		return nil, fmt.Errorf("time zone %q is refused", name)
	}
	return load(name)
}
