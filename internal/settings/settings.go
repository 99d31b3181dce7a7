// Package settings reads the flags of a program, from its command line and from a
// ConfigMap.
//
// The ConfigMap is mounted as a directory: each of its keys is a file there, named
// like a flag and holding its value. What the command line says wins.
package settings

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/kube-connector/kube-connector/internal/program"
)

// Flag is the name of the flag that names the directory.
const Flag = "settings-dir"

// Parse reads the command line of a program, whose name the flag set has, and the
// settings of the directory that it names. What is wrong with the command line is
// told on stderr, and the error is flag.ErrHelp or program.ErrUsage.
func Parse(flags *flag.FlagSet, args []string, stderr io.Writer, purpose string) error {
	dir := flags.String(Flag, "", "a `directory` with a file for each further setting, named like its flag: a mounted ConfigMap")
	flags.SetOutput(stderr)
	flags.Usage = func() {
		fmt.Fprintf(stderr, "Usage: %[1]s [flags]\n       %[1]s version\n\n%[2]s\n\n", flags.Name(), purpose)
		flags.PrintDefaults()
	}
	if err := flags.Parse(args); err != nil {
		if errors.Is(err, flag.ErrHelp) {
			return err
		}
		return program.ErrUsage
	}
	if flags.NArg() > 0 {
		return Wrong(flags, fmt.Sprintf("unexpected argument %q", flags.Arg(0)))
	}
	return load(flags, *dir)
}

// Wrong tells what is wrong with the command line, and how it is used.
func Wrong(flags *flag.FlagSet, what string) error {
	fmt.Fprintln(flags.Output(), what)
	flags.Usage()
	return program.ErrUsage
}

// load sets the flags that have a file in dir and were not given on the command
// line, which must have been parsed. An empty dir sets none.
func load(flags *flag.FlagSet, dir string) error {
	if dir == "" {
		return nil
	}
	given := map[string]bool{}
	flags.Visit(func(f *flag.Flag) { given[f.Name] = true })
	entries, err := os.ReadDir(dir)
	if err != nil {
		return fmt.Errorf("reading the settings: %w; mount the ConfigMap there, or leave --%s out", err, Flag)
	}
	for _, entry := range entries {
		// The kubelet's own: ..data and the directory it points at.
		if strings.HasPrefix(entry.Name(), "..") {
			continue
		}
		content, err := fs.ReadFile(os.DirFS(dir), entry.Name())
		if err != nil {
			return fmt.Errorf("reading setting %q: %w", filepath.Join(dir, entry.Name()), err)
		}
		// A block of YAML, or an editor, ends in a line break.
		if err := set(flags, given, entry.Name(), strings.TrimSpace(string(content))); err != nil {
			return fmt.Errorf("%w; change it in the ConfigMap that is mounted at %s", err, dir)
		}
	}
	return nil
}

// set sets one flag.
func set(flags *flag.FlagSet, given map[string]bool, key, value string) error {
	if key == Flag || flags.Lookup(key) == nil {
		return fmt.Errorf("setting %q is not known; it must be one of %s", key, strings.Join(names(flags), ", "))
	}
	if given[key] {
		return nil
	}
	if err := flags.Set(key, value); err != nil {
		return fmt.Errorf("setting %q has the value %q, which is not valid: %w; it means: %s", key, value, err, flags.Lookup(key).Usage)
	}
	return nil
}

func names(flags *flag.FlagSet) []string {
	var names []string
	flags.VisitAll(func(f *flag.Flag) {
		if f.Name != Flag {
			names = append(names, f.Name)
		}
	})
	return names
}
