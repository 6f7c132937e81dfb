// Makes, walks, hashes, packs and unpacks trees with many goroutines at once; prints the same for the
// same tree, in whatever order the work was done.
//
//	tarwalk make DIR | list DIR | pack DIR FILE | unpack FILE DIR
package main

import (
	"archive/tar"
	"compress/gzip"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"sort"
	"strings"
	"sync"
	"time"
)

const workers = 16

// each calls work for every item on many goroutines; the first error ends it.
func each(items []string, work func(i int, item string) error) error {
	var group sync.WaitGroup
	next := make(chan int)
	failed := make([]error, len(items))
	for w := 0; w < workers; w++ {
		group.Add(1)
		go func() {
			defer group.Done()
			for i := range next {
				failed[i] = work(i, items[i])
			}
		}()
	}
	for i := range items {
		next <- i
	}
	close(next)
	group.Wait()
	return errors.Join(failed...)
}

func paths(dir string) ([]string, error) {
	var found []string
	err := filepath.WalkDir(dir, func(path string, _ fs.DirEntry, err error) error {
		if err == nil && path != dir {
			found = append(found, path)
		}
		return err
	})
	sort.Strings(found)
	return found, err
}

func make_(dir string) error {
	var names []string
	for d := 0; d < 20; d++ {
		folder := filepath.Join(dir, fmt.Sprintf("d%d", d), "inner")
		if err := os.MkdirAll(folder, 0o755); err != nil {
			return err
		}
		for f := 0; f < 25; f++ {
			names = append(names, filepath.Join(folder, fmt.Sprintf("file %d é.txt", f)))
		}
	}
	return each(names, func(i int, name string) error {
		text := strings.Repeat(fmt.Sprintf("%s %d\n", filepath.Base(name), i), i*i%4001)
		if err := os.WriteFile(name+".new", []byte(text), 0o644); err != nil {
			return err
		}
		if err := os.Rename(name+".new", name); err != nil {
			return err
		}
		switch i % 10 {
		case 3:
			if err := os.Symlink(filepath.Base(name), name+".link"); err != nil {
				return err
			}
		case 5:
			if err := os.Link(name, name+".hard"); err != nil {
				return err
			}
		case 7:
			if err := os.Truncate(name, int64(i)); err != nil {
				return err
			}
		}
		at := time.Unix(1_500_000_000+int64(i), int64(i)*1001)
		return os.Chtimes(name, at, at)
	})
}

func hash(path string) (string, error) {
	file, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer file.Close()
	sum := sha256.New()
	if _, err := io.Copy(sum, file); err != nil {
		return "", err
	}
	return fmt.Sprintf("%x", sum.Sum(nil)), nil
}

func describe(dir, path string) (string, error) {
	info, err := os.Lstat(path)
	if err != nil {
		return "", err
	}
	name, err := filepath.Rel(dir, path)
	switch {
	case err != nil:
		return "", err
	case info.IsDir():
		return name + " folder", nil
	case info.Mode()&fs.ModeSymlink != 0:
		target, err := os.Readlink(path)
		return name + " -> " + target, err
	}
	sum, err := hash(path)
	return fmt.Sprintf("%s %d %d %s", name, info.Size(), info.ModTime().UnixNano(), sum), err
}

func list(dir string) error {
	found, err := paths(dir)
	if err != nil {
		return err
	}
	lines := make([]string, len(found))
	err = each(found, func(i int, path string) error {
		line, err := describe(dir, path)
		lines[i] = line
		return err
	})
	for _, line := range lines {
		fmt.Println(line)
	}
	return err
}

func add(to *tar.Writer, dir, path string) error {
	info, err := os.Lstat(path)
	if err != nil {
		return err
	}
	target := ""
	if info.Mode()&fs.ModeSymlink != 0 {
		if target, err = os.Readlink(path); err != nil {
			return err
		}
	}
	head, err := tar.FileInfoHeader(info, target)
	if err != nil {
		return err
	}
	if head.Name, err = filepath.Rel(dir, path); err != nil {
		return err
	}
	head.Uid, head.Gid, head.Uname, head.Gname = 0, 0, "", ""
	head.AccessTime, head.ChangeTime, head.Format = time.Time{}, time.Time{}, tar.FormatPAX
	head.Mode = 0o755 // WASI 0.1 tells no modes
	if !info.Mode().IsRegular() {
		head.ModTime = time.Unix(0, 0) // nobody set it
	}
	if err := to.WriteHeader(head); err != nil || !info.Mode().IsRegular() {
		return err
	}
	file, err := os.Open(path)
	if err != nil {
		return err
	}
	defer file.Close()
	_, err = io.Copy(to, file)
	return err
}

func pack(dir, name string) error {
	found, err := paths(dir)
	if err != nil {
		return err
	}
	file, err := os.Create(name)
	if err != nil {
		return err
	}
	packed := gzip.NewWriter(file)
	to := tar.NewWriter(packed)
	for _, path := range found {
		if err := add(to, dir, path); err != nil {
			return err
		}
	}
	return errors.Join(to.Close(), packed.Close(), file.Close())
}

func extract(from *tar.Reader, head *tar.Header, path string) error {
	switch head.Typeflag {
	case tar.TypeDir:
		return os.MkdirAll(path, 0o755)
	case tar.TypeSymlink:
		return os.Symlink(head.Linkname, path)
	}
	file, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
	if err != nil {
		return err
	}
	if _, err := io.Copy(file, from); err != nil {
		return err
	}
	return errors.Join(file.Close(), os.Chtimes(path, head.ModTime, head.ModTime))
}

func unpack(name, dir string) error {
	file, err := os.Open(name)
	if err != nil {
		return err
	}
	defer file.Close()
	packed, err := gzip.NewReader(file)
	if err != nil {
		return err
	}
	if err := os.Mkdir(dir, 0o755); err != nil {
		return err
	}
	for from := tar.NewReader(packed); ; {
		head, err := from.Next()
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
		if err := extract(from, head, filepath.Join(dir, head.Name)); err != nil {
			return err
		}
	}
}

func main() {
	err := errors.New("usage: tarwalk make DIR | list DIR | pack DIR FILE | unpack FILE DIR")
	switch args := os.Args[1:]; {
	case len(args) == 2 && args[0] == "make":
		err = make_(args[1])
	case len(args) == 2 && args[0] == "list":
		err = list(args[1])
	case len(args) == 3 && args[0] == "pack":
		err = pack(args[1], args[2])
	case len(args) == 3 && args[0] == "unpack":
		err = unpack(args[1], args[2])
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "tarwalk:", err)
		os.Exit(1)
	}
}
