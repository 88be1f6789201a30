package main

import (
	"cmp"
	"context"
	"io/fs"
	"path/filepath"
	"slices"
)

// Report counts the files under a directory.
type Report struct {
	Root       string      `json:"root"`
	Files      int         `json:"files"`
	Bytes      int64       `json:"bytes"`
	Unreadable int         `json:"unreadable,omitempty"` // entries that could not be read
	Extensions []Extension `json:"extensions"`           // most bytes first
}

// Extension sums up the files with one extension, which is "" for files without one.
type Extension struct {
	Extension string `json:"extension"`
	Files     int    `json:"files"`
	Bytes     int64  `json:"bytes"`
	Largest   []File `json:"largest"` // largest first
}

// File is a file, named by its path under the root.
type File struct {
	Path  string `json:"path"`
	Bytes int64  `json:"bytes"`
}

// walk reports on the regular files of a tree: only those with one of the extensions, unless there
// are none. It names the largest files of each extension. When ctx ends, it returns the cause.
func walk(ctx context.Context, tree fs.FS, extensions []string, largest int) (Report, error) {
	var report Report
	byExtension := make(map[string]*Extension)
	err := fs.WalkDir(tree, ".", func(path string, entry fs.DirEntry, err error) error {
		switch {
		case ctx.Err() != nil:
			return context.Cause(ctx)
		case err != nil && path == ".":
			return err
		case err != nil:
			report.Unreadable++
			return nil
		case !entry.Type().IsRegular():
			return nil
		}
		extension := filepath.Ext(path)
		if len(extensions) > 0 && !slices.Contains(extensions, extension) {
			return nil
		}
		info, err := entry.Info()
		if err != nil {
			report.Unreadable++ // it was removed after its directory was read
			return nil
		}
		report.Files++
		report.Bytes += info.Size()
		e := byExtension[extension]
		if e == nil {
			e = &Extension{Extension: extension}
			byExtension[extension] = e
		}
		e.add(File{Path: path, Bytes: info.Size()}, largest)
		return nil
	})
	for _, e := range byExtension {
		report.Extensions = append(report.Extensions, *e)
	}
	slices.SortFunc(report.Extensions, func(a, b Extension) int {
		return cmp.Or(cmp.Compare(b.Bytes, a.Bytes), cmp.Compare(a.Extension, b.Extension))
	})
	return report, err
}

func (e *Extension) add(f File, largest int) {
	e.Files++
	e.Bytes += f.Bytes
	i, _ := slices.BinarySearchFunc(e.Largest, f, func(a, b File) int {
		return cmp.Or(cmp.Compare(b.Bytes, a.Bytes), cmp.Compare(a.Path, b.Path))
	})
	if i < largest {
		e.Largest = slices.Insert(e.Largest, i, f)
		e.Largest = e.Largest[:min(largest, len(e.Largest))]
	}
}
