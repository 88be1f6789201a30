package main

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
)

func TestWalk(t *testing.T) {
	root := t.TempDir()
	for path, size := range map[string]int{"a.go": 10, "sub/b.go": 30, "sub/c.go": 20, "sub/deep/d.txt": 5, "README": 1} {
		name := filepath.Join(root, filepath.FromSlash(path))
		if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(name, []byte(strings.Repeat("x", size)), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	goFiles := Extension{Extension: ".go", Files: 3, Bytes: 60, Largest: []File{{"sub/b.go", 30}, {"sub/c.go", 20}}}

	for _, test := range []struct {
		name       string
		extensions []string
		want       Report
	}{
		{"everything", nil, Report{Files: 5, Bytes: 66, Extensions: []Extension{
			goFiles,
			{Extension: ".txt", Files: 1, Bytes: 5, Largest: []File{{"sub/deep/d.txt", 5}}},
			{Extension: "", Files: 1, Bytes: 1, Largest: []File{{"README", 1}}},
		}}},
		{"one extension", []string{".go"}, Report{Files: 3, Bytes: 60, Extensions: []Extension{goFiles}}},
		{"nothing matches", []string{".c"}, Report{}},
	} {
		t.Run(test.name, func(t *testing.T) {
			got, err := walk(t.Context(), os.DirFS(root), test.extensions, 2)
			if err != nil {
				t.Fatal(err)
			}
			if !reflect.DeepEqual(got, test.want) {
				t.Errorf("got  %+v\nwant %+v", got, test.want)
			}
		})
	}

	t.Run("cancelled", func(t *testing.T) {
		cause := errors.New("enough")
		ctx, cancel := context.WithCancelCause(t.Context())
		cancel(cause)
		if _, err := walk(ctx, os.DirFS(root), nil, 2); !errors.Is(err, cause) {
			t.Errorf("got error %v, want %v", err, cause)
		}
	})
	t.Run("no such root", func(t *testing.T) {
		if _, err := walk(t.Context(), os.DirFS(filepath.Join(root, "absent")), nil, 2); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("got error %v, want %v", err, os.ErrNotExist)
		}
	})
}
