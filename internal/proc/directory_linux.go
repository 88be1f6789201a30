package proc

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"syscall"
)

// openDirectory opens a directory that only this user can access, and creates it if necessary. ""
// means the default directory.
func openDirectory(dir string) (*os.Root, error) {
	var err error
	if dir == "" {
		dir, err = defaultDirectory()
	} else {
		err = createDirectory(dir)
	}
	if err != nil {
		return nil, fmt.Errorf("directory of the process registry: %w", err)
	}
	root, err := openPrivate(dir)
	if err != nil {
		return nil, fmt.Errorf("directory of the process registry: %w", err)
	}
	return root, nil
}

// defaultDirectory creates and returns a directory in the user's cache directory, or, if there is
// none or nothing can be created in it, in the directory for temporary files. Its name has the user
// ID in it, because another user may have the same home directory (sudo).
func defaultDirectory() (string, error) {
	name := "provost-" + strconv.Itoa(os.Geteuid())
	if cache, err := os.UserCacheDir(); err == nil && os.MkdirAll(cache, 0o700) == nil {
		if dir := filepath.Join(cache, name); createDirectory(dir) == nil {
			return dir, nil
		}
	}
	dir := filepath.Join(os.TempDir(), name)
	return dir, createDirectory(dir)
}

func createDirectory(dir string) error {
	if err := os.Mkdir(dir, 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	return nil
}

// openPrivate opens a directory. It refuses one that another user could have prepared.
func openPrivate(dir string) (*os.Root, error) {
	info, err := os.Lstat(dir)
	if err != nil {
		return nil, err
	}
	owner, ok := info.Sys().(*syscall.Stat_t)
	switch {
	case !info.IsDir():
		return nil, fmt.Errorf("%s is not a directory but %v; remove it", dir, info.Mode().Type())
	case !ok || int(owner.Uid) != os.Geteuid():
		return nil, fmt.Errorf("%s belongs to another user; remove it, or name another directory", dir)
	case info.Mode().Perm()&0o077 != 0:
		return nil, fmt.Errorf("%s is open to other users (mode %v); check what is in it, then chmod 700 it", dir, info.Mode().Perm())
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, err
	}
	opened, err := root.Stat(".")
	if err == nil && !os.SameFile(info, opened) {
		err = fmt.Errorf("%s was replaced while it was opened", dir)
	}
	if err != nil {
		return nil, errors.Join(err, root.Close())
	}
	return root, nil
}
