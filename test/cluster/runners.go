package cluster

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
)

// Runner is a system that runs on Kubernetes, made from its own source: its
// programs, for images, and its manifests.
type Runner struct {
	// Binaries is the directory of its programs.
	Binaries string
	// Source is the directory of its source.
	Source string
}

const (
	tektonDir    = "test/cluster/runners/tekton"
	tektonModule = "github.com/tektoncd/pipeline"

	certManagerDir    = "test/cluster/runners/certmanager"
	certManagerModule = "github.com/cert-manager/cert-manager"

	argoModule  = "github.com/argoproj/argo-workflows/v3"
	argoVersion = "v3.7.4"
	argoSum     = "h1:oA/DxaSsjb6fMYaygf7JVQgnsF+ZzlfUPy5kIfLsCic="
	argoFlags   = stripFlags + " -X " + argoModule + ".version=" + argoVersion
)

var (
	tekton = programSet{what: "Tekton", module: tektonDir, programs: []program{
		{"controller", tektonDir, tektonModule + "/cmd/controller", stripFlags},
		{"webhook", tektonDir, tektonModule + "/cmd/webhook", stripFlags},
		{"entrypoint", tektonDir, tektonModule + "/cmd/entrypoint", stripFlags},
		{"nop", tektonDir, tektonModule + "/cmd/nop", stripFlags},
		{"workingdirinit", tektonDir, tektonModule + "/cmd/workingdirinit", stripFlags},
	}}
	certManager = programSet{
		what: "cert-manager", module: certManagerDir,
		sources: []string{certManagerDir + "/controller/main.go", certManagerDir + "/cainjector/main.go"},
		programs: []program{
			{"controller", certManagerDir, module + "/" + certManagerDir + "/controller", stripFlags},
			{"cainjector", certManagerDir, module + "/" + certManagerDir + "/cainjector", stripFlags},
		},
	}
	argo = programSet{what: "Argo Workflows", checkout: checkoutArgo, programs: []program{
		{"workflow-controller", ".", "./cmd/workflow-controller", argoFlags},
		{"argoexec", ".", "./cmd/argoexec", argoFlags},
	}}
)

// Tekton builds Tekton Pipelines if need be, which takes minutes once.
func Tekton(ctx context.Context, progress io.Writer) (Runner, error) {
	return tekton.runner(ctx, tektonModule, progress)
}

// CertManager builds cert-manager's controller and cainjector if need be, which
// takes minutes once.
func CertManager(ctx context.Context, progress io.Writer) (Runner, error) {
	return certManager.runner(ctx, certManagerModule, progress)
}

// runner builds the set, whose module requires the one with the source.
func (s *programSet) runner(ctx context.Context, module string, progress io.Writer) (Runner, error) {
	binaries, err := s.build(ctx, progress)
	if err != nil {
		return Runner{}, err
	}
	root, err := sourceRoot()
	if err != nil {
		return Runner{}, err
	}
	source, err := download(ctx, filepath.Join(root, s.module), module)
	return Runner{Binaries: binaries, Source: source.Dir}, err
}

// ArgoWorkflows builds Argo Workflows if need be, which takes minutes once.
func ArgoWorkflows(ctx context.Context, progress io.Writer) (Runner, error) {
	binaries, err := argo.build(ctx, progress)
	if err != nil {
		return Runner{}, err
	}
	source, err := argoSource(ctx)
	return Runner{Binaries: binaries, Source: source}, err
}

// checkoutArgo copies Argo's source into dir, where it is built with the
// versions of its own go.mod. In its repository signal_linux.go is a symbolic
// link to signal_darwin.go, and modules have no links: as a module it does not
// build.
func checkoutArgo(ctx context.Context, dir string) error {
	source, err := argoSource(ctx)
	if err != nil {
		return err
	}
	if err := os.CopyFS(dir, os.DirFS(source)); err != nil {
		return err
	}
	return os.Symlink("signal_darwin.go", filepath.Join(dir, "workflow", "executor", "osspecific", "signal_linux.go"))
}

func argoSource(ctx context.Context) (string, error) {
	// Not in this source tree, whose go.mod does not require it.
	source, err := download(ctx, os.TempDir(), argoModule+"@"+argoVersion)
	if err == nil && source.Sum != argoSum {
		err = fmt.Errorf("download %s %s: its checksum is %s and should be %s", argoModule, argoVersion, source.Sum, argoSum)
	}
	return source.Dir, err
}

// source is a module in the module cache.
type source struct{ Dir, Sum string }

// download returns the source of a module, which it downloads only if it is not
// there. Without a version, it is the one that the module in dir requires.
func download(ctx context.Context, dir, module string) (source, error) {
	output, err := goCommand(ctx, dir, "mod", "download", "-json", module).Output()
	if err != nil {
		return source{}, fmt.Errorf("download %s: %w", module, err)
	}
	var downloaded source
	if err := json.Unmarshal(output, &downloaded); err != nil {
		return source{}, fmt.Errorf("download %s: %w", module, err)
	}
	return downloaded, nil
}
