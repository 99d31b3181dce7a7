package image

import (
	"archive/tar"
	"bytes"
	"fmt"
	"maps"
	"os"
	"path"
	"slices"
	"strings"
	"time"
)

// epoch stamps every entry. It is the zero of Unix time rather than of
// time.Time, which tar cannot express.
var epoch = time.Unix(0, 0).UTC()

// entry is one entry of the layer: what its header says, and for a file, where
// its bytes are.
type entry struct {
	kind   byte
	mode   int64
	target string
	source string
}

// layer is the tar of the image's content: sorted, owned by root, stamped with
// the epoch.
func layer(img Image) ([]byte, error) {
	entries, err := entriesOf(img)
	if err != nil {
		return nil, err
	}
	var buf bytes.Buffer
	out := tar.NewWriter(&buf)
	// A directory sorts before what is in it, so that the order of names is
	// an order in which they can be unpacked.
	for _, p := range slices.Sorted(maps.Keys(entries)) {
		if err := add(out, p, entries[p]); err != nil {
			return nil, fmt.Errorf("add %s: %w", p, err)
		}
	}
	if err := out.Close(); err != nil {
		return nil, err
	}
	return buf.Bytes(), nil
}

func entriesOf(img Image) (map[string]entry, error) {
	entries := map[string]entry{}
	put := func(p string, e entry) error {
		if !path.IsAbs(p) || path.Clean(p) != p || p == "/" {
			return fmt.Errorf("path %q must be absolute, clean and below /", p)
		}
		if _, twice := entries[p]; twice {
			return fmt.Errorf("path %q is in the image twice", p)
		}
		entries[p] = e
		return nil
	}
	for _, d := range img.Dirs {
		if err := put(d.Path, entry{kind: tar.TypeDir, mode: d.Mode}); err != nil {
			return nil, err
		}
	}
	for _, f := range img.Files {
		if err := put(f.Path, entry{kind: tar.TypeReg, mode: 0o755, source: f.Source}); err != nil {
			return nil, err
		}
	}
	for _, l := range img.Links {
		if err := put(l.Path, entry{kind: tar.TypeSymlink, mode: 0o777, target: l.Target}); err != nil {
			return nil, err
		}
	}
	for _, p := range slices.Collect(maps.Keys(entries)) {
		for dir := path.Dir(p); dir != "/"; dir = path.Dir(dir) {
			above, known := entries[dir]
			if !known {
				entries[dir] = entry{kind: tar.TypeDir, mode: 0o755}
			} else if above.kind != tar.TypeDir {
				return nil, fmt.Errorf("path %q is below %q, which is not a directory", p, dir)
			}
		}
	}
	return entries, nil
}

func add(out *tar.Writer, p string, e entry) error {
	header := &tar.Header{
		Typeflag: e.kind,
		// Names in a layer are relative to its root; directories end in a slash.
		Name:     strings.TrimPrefix(p, "/"),
		Linkname: e.target,
		Mode:     e.mode,
		ModTime:  epoch,
		Uname:    "root",
		Gname:    "root",
		Format:   tar.FormatUSTAR,
	}
	var content []byte
	switch e.kind {
	case tar.TypeDir:
		header.Name += "/"
	case tar.TypeReg:
		var err error
		if content, err = os.ReadFile(e.source); err != nil {
			return err
		}
		header.Size = int64(len(content))
	}
	if err := out.WriteHeader(header); err != nil {
		return err
	}
	_, err := out.Write(content)
	return err
}
