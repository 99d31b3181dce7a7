package cluster

import (
	"context"
	"io"
	"path/filepath"
)

const (
	helmDir       = "tools/helm"
	oldKubectlDir = "test/cluster/clients/kubectl"

	oldKubectlFlags = stripFlags + " -X k8s.io/component-base/version.gitVersion=v1.19.16"
)

var (
	helm = programSet{what: "Helm", module: helmDir, programs: []program{
		{"helm", helmDir, "helm.sh/helm/v3/cmd/helm", stripFlags},
	}}
	oldKubectl = programSet{what: "an old kubectl", module: oldKubectlDir, programs: []program{
		{"kubectl", oldKubectlDir, "k8s.io/kubernetes/cmd/kubectl", oldKubectlFlags},
	}}
)

// Helm returns the path of a Helm. It builds it if need be, which takes minutes
// once.
func Helm(ctx context.Context, progress io.Writer) (string, error) {
	dir, err := helm.build(ctx, progress)
	return filepath.Join(dir, "helm"), err
}

// OldKubectl returns the path of a kubectl 1.19, the first that knows proxy-url. It
// builds it if need be, which takes minutes once.
func OldKubectl(ctx context.Context, progress io.Writer) (string, error) {
	dir, err := oldKubectl.build(ctx, progress)
	return filepath.Join(dir, "kubectl"), err
}
