package settings_test

import (
	"flag"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/kube-connector/kube-connector/internal/settings"
)

// values are the flags of a program.
type values struct {
	image string
	port  int
	elect bool
	level slog.Level
}

// load parses a command line whose settings directory holds the given files,
// as the kubelet lays them out.
func load(t *testing.T, files map[string]string, args ...string) (values, error) {
	t.Helper()
	dir := t.TempDir()
	generation := filepath.Join(dir, "..2026_11_20_00_00_00.1")
	require.NoError(t, os.Mkdir(generation, 0o755))
	require.NoError(t, os.Symlink(filepath.Base(generation), filepath.Join(dir, "..data")))
	for name, content := range files {
		require.NoError(t, os.WriteFile(filepath.Join(generation, name), []byte(content), 0o644))
		require.NoError(t, os.Symlink(filepath.Join("..data", name), filepath.Join(dir, name)))
	}
	return parse(t, append([]string{"--settings-dir=" + dir}, args...)...)
}

func parse(t *testing.T, args ...string) (values, error) {
	t.Helper()
	var v values
	flags := flag.NewFlagSet("program", flag.ContinueOnError)
	flags.StringVar(&v.image, "image", "default", "the image")
	flags.IntVar(&v.port, "port", 1, "the port")
	flags.BoolVar(&v.elect, "elect", false, "elect a leader")
	flags.TextVar(&v.level, "log-level", slog.LevelInfo, "DEBUG, INFO, WARN or ERROR")
	return v, settings.Parse(flags, args, io.Discard, "Does things.")
}

func TestLoad(t *testing.T) {
	for name, tc := range map[string]struct {
		files map[string]string
		args  []string
		want  values
	}{
		"nothing set":           {nil, nil, values{image: "default", port: 1}},
		"set in the ConfigMap":  {map[string]string{"image": "a:1", "port": "2", "elect": "true", "log-level": "WARN"}, nil, values{"a:1", 2, true, slog.LevelWarn}},
		"a line break is lost":  {map[string]string{"image": "a:1\n", "port": " 2\n"}, nil, values{image: "a:1", port: 2}},
		"the command line wins": {map[string]string{"image": "a:1", "port": "2"}, []string{"--port=3"}, values{image: "a:1", port: 3}},
		// Even where it says what is the default anyway.
		"the command line says the default": {map[string]string{"elect": "true"}, []string{"--elect=false"}, values{image: "default", port: 1}},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := load(t, tc.files, tc.args...)
			require.NoError(t, err)
			assert.Equal(t, tc.want, got)
		})
	}
}

func TestWithoutDirectory(t *testing.T) {
	got, err := parse(t)
	require.NoError(t, err)
	assert.Equal(t, values{image: "default", port: 1}, got)
}

func TestLoadRefuses(t *testing.T) {
	for name, tc := range map[string]struct {
		files map[string]string
		want  string
	}{
		"unknown key":            {map[string]string{"imag": "a:1"}, `setting "imag" is not known; it must be one of elect, image, log-level, port; change it in the ConfigMap that is mounted at `},
		"bad number":             {map[string]string{"port": "https"}, `setting "port" has the value "https", which is not valid: parse error; it means: the port; change it`},
		"bad text":               {map[string]string{"log-level": "loud"}, `setting "log-level" has the value "loud", which is not valid: slog: level string "loud": unknown name; it means: DEBUG, INFO, WARN or ERROR`},
		"directory in ConfigMap": {map[string]string{"settings-dir": "/etc"}, `setting "settings-dir" is not known`},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := load(t, tc.files)
			require.ErrorContains(t, err, tc.want)
		})
	}
}

func TestMissingDirectory(t *testing.T) {
	_, err := parse(t, "--settings-dir="+filepath.Join(t.TempDir(), "nowhere"))
	require.ErrorContains(t, err, "no such file or directory; mount the ConfigMap there, or leave --settings-dir out")
	require.ErrorIs(t, err, os.ErrNotExist)
}
