package cluster

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"
)

const module = "github.com/kube-connector/kube-connector"

// program is a program that Binaries builds.
type program struct {
	name string
	// source is the directory, below the source tree, of the module that it
	// is built in.
	source  string
	pkg     string
	ldflags string
}

const (
	components = "test/cluster/components"
	stripFlags = "-s -w"
	// What `kubectl version` and the clusters say they are.
	kubeFlags = stripFlags + " -X k8s.io/component-base/version.gitVersion=v1.36.3"
)

// programSet is programs that are built and kept together: a change of one set
// leaves the others as they are.
type programSet struct {
	// what it is, for messages.
	what string
	// module is the directory, below the source tree, whose go.mod and go.sum
	// pin the versions; "" if none does.
	module string
	// sources are files of this repository that go into the programs.
	sources  []string
	programs []program
	// checkout, if not nil, makes another tree to build in than this
	// repository's, in an empty directory.
	checkout func(ctx context.Context, dir string) error
}

var clusterPrograms = programSet{
	what:    "the cluster's programs",
	module:  components,
	sources: []string{components + "/cri-images/main.go", "test/cluster/pause/main.go"},
	programs: []program{
		{"etcd", components, "go.etcd.io/etcd/server/v3", kubeFlags},
		{"kube-apiserver", components, "k8s.io/kubernetes/cmd/kube-apiserver", kubeFlags},
		{"kube-controller-manager", components, "k8s.io/kubernetes/cmd/kube-controller-manager", kubeFlags},
		{"kube-scheduler", components, "k8s.io/kubernetes/cmd/kube-scheduler", kubeFlags},
		{"kube-proxy", components, "k8s.io/kubernetes/cmd/kube-proxy", kubeFlags},
		{"kubelet", components, "k8s.io/kubernetes/cmd/kubelet", kubeFlags},
		{"kubectl", components, "k8s.io/kubernetes/cmd/kubectl", kubeFlags},
		{"cri-images", components, module + "/" + components + "/cri-images", stripFlags},
		{"pause", ".", module + "/test/cluster/pause", stripFlags},
	},
}

// Binaries returns a directory with the programs of a Kubernetes cluster (etcd,
// kube-apiserver, kubectl, …), which is also what controller-runtime's envtest
// wants as its BinaryAssetsDirectory. It builds them if need be, which takes
// minutes, and keeps them in the user's cache directory; then it is a matter of
// milliseconds. It needs neither root nor Debian.
func Binaries(ctx context.Context, progress io.Writer) (string, error) {
	return clusterPrograms.build(ctx, progress)
}

// build returns the directory with the set's programs, which it makes if need
// be.
func (s *programSet) build(ctx context.Context, progress io.Writer) (string, error) {
	if progress == nil {
		progress = io.Discard
	}
	root, err := sourceRoot()
	if err != nil {
		return "", err
	}
	key, err := s.key(ctx, root)
	if err != nil {
		return "", err
	}
	cache, err := os.UserCacheDir()
	if err != nil {
		return "", fmt.Errorf("nowhere to keep built programs: %w; set HOME", err)
	}
	cache = filepath.Join(cache, "kube-connector")
	dir := filepath.Join(cache, key)
	if complete(dir) {
		return dir, nil
	}
	l, err := s.lock(ctx, filepath.Join(cache, "build.lock"), progress)
	if err != nil {
		return "", err
	}
	defer func() { _ = l.release() }()
	if complete(dir) {
		return dir, nil // whoever had the lock has built them
	}
	return dir, s.buildAll(ctx, root, dir, progress)
}

// complete tells whether dir is there. It is only ever there whole.
func complete(dir string) bool {
	_, err := os.Stat(dir)
	return err == nil
}

// sourceRoot is the source tree that the working directory is in.
func sourceRoot() (string, error) {
	start, err := os.Getwd()
	if err != nil {
		return "", err
	}
	for dir := start; ; dir = filepath.Dir(dir) {
		content, err := os.ReadFile(filepath.Join(dir, "go.mod"))
		if err == nil && declares(content, module) {
			return dir, nil
		}
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return "", err
		}
		if dir == filepath.Dir(dir) {
			return "", fmt.Errorf("%s is not in a source tree of %s; change into one", start, module)
		}
	}
}

// declares tells whether the go.mod is that of the module, and not of a module
// nested in it.
func declares(gomod []byte, module string) bool {
	for line := range strings.Lines(string(gomod)) {
		if fields := strings.Fields(line); len(fields) == 2 && fields[0] == "module" {
			return fields[1] == module
		}
	}
	return false
}

// key stands for everything that the programs are made from.
func (s *programSet) key(ctx context.Context, root string) (string, error) {
	hash := sha256.New()
	cmd := goCommand(ctx, filepath.Join(root, s.module), "env", "GOVERSION", "GOARCH")
	version, err := cmd.Output()
	if err != nil {
		return "", fmt.Errorf("go env: %w; is Go installed and in the PATH?", err)
	}
	fmt.Fprintf(hash, "%s%v\n", version, s.programs)
	var files []string
	if s.module != "" {
		files = []string{s.module + "/go.mod", s.module + "/go.sum"}
	}
	for _, file := range append(files, s.sources...) {
		content, err := os.ReadFile(filepath.Join(root, file))
		if err != nil {
			return "", err
		}
		fmt.Fprintf(hash, "%s %x\n", file, sha256.Sum256(content))
	}
	return fmt.Sprintf("%x", hash.Sum(nil)[:8]), nil
}

// lock waits for the lock: test packages run side by side, and one build
// is enough for all of them.
func (s *programSet) lock(ctx context.Context, path string, progress io.Writer) (l *lock, err error) {
	told := false
	err = poll(ctx, time.Hour, func(context.Context) error {
		l, err = tryLock(path)
		if held := (*heldError)(nil); errors.As(err, &held) && !told {
			told = true
			fmt.Fprintf(progress, "waiting for %s, to build %s\n", held.holder, s.what)
		}
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("build %s: %w", s.what, err)
	}
	return l, nil
}

// buildAll builds the programs beside dir and then makes them dir.
func (s *programSet) buildAll(ctx context.Context, root, dir string, progress io.Writer) error {
	temp, err := os.MkdirTemp(filepath.Dir(dir), ".build-*")
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(temp) }() // gone already if the rename below succeeded
	if s.checkout != nil {
		tree, err := os.MkdirTemp("", "source-*")
		if err != nil {
			return err
		}
		defer func() { _ = os.RemoveAll(tree) }()
		if err := s.checkout(ctx, tree); err != nil {
			return fmt.Errorf("build %s: %w", s.what, err)
		}
		root = tree
	}
	for _, p := range s.programs {
		stop := report(progress, "building "+p.name)
		err := buildOne(ctx, root, temp, p)
		stop()
		if err != nil {
			return err
		}
	}
	if err := os.Chmod(temp, 0o755); err != nil {
		return err
	}
	return os.Rename(temp, dir)
}

func buildOne(ctx context.Context, root, dir string, p program) error {
	cmd := goCommand(ctx, filepath.Join(root, p.source), "build", "-trimpath", "-buildvcs=false", "-ldflags", p.ldflags, "-o", filepath.Join(dir, p.name), p.pkg)
	var output bytes.Buffer
	cmd.Stdout, cmd.Stderr = &output, &output
	if err := cmd.Run(); err != nil {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		return fmt.Errorf("build %s: %w\n%s", p.name, err, output.Bytes())
	}
	return nil
}

func goCommand(ctx context.Context, dir string, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, "go", args...)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOWORK=off")
	// Asked to, go removes what it has half done.
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
	cmd.WaitDelay = 10 * time.Second
	return cmd
}

// report says that something has begun and, now and then, that it still goes
// on, until it is stopped.
func report(progress io.Writer, what string) (stop func()) {
	began := time.Now()
	done, ended := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		tick := time.NewTicker(10 * time.Second)
		defer tick.Stop()
		for {
			select {
			case <-done:
				return
			case <-tick.C:
				fmt.Fprintf(progress, "%s … %s so far, this happens once\n", what, time.Since(began).Round(time.Second))
			}
		}
	}()
	return func() {
		close(done)
		<-ended
		fmt.Fprintf(progress, "%s took %s\n", what, time.Since(began).Round(100*time.Millisecond))
	}
}
