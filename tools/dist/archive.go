package main

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"errors"
	"maps"
	"os"
	"slices"
	"time"
)

// writeArchive writes a chart's files as `helm package` does, but the same bytes
// every time.
func writeArchive(path string, files map[string][]byte) error {
	var buffer bytes.Buffer
	compressed := gzip.NewWriter(&buffer)
	out := tar.NewWriter(compressed)
	for _, name := range slices.Sorted(maps.Keys(files)) {
		content := files[name]
		if err := out.WriteHeader(&tar.Header{
			Typeflag: tar.TypeReg, Name: chartName + "/" + name, Size: int64(len(content)),
			Mode: 0o644, ModTime: time.Unix(0, 0), Format: tar.FormatUSTAR,
		}); err != nil {
			return err
		}
		if _, err := out.Write(content); err != nil {
			return err
		}
	}
	if err := errors.Join(out.Close(), compressed.Close()); err != nil {
		return err
	}
	return os.WriteFile(path, buffer.Bytes(), 0o644)
}
