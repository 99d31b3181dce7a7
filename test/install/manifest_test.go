package install

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/kube-connector/kube-connector/build/image"
)

// TestMakeInstall installs dist/install.yaml in one go, uses it, and removes it:
// running Pods go on, and nothing stays.
func TestMakeInstall(t *testing.T) {
	nothingLeft := leavesNothing(t)
	makeTarget(t, "install")
	newTeam(t)
	makeTarget(t, "install") // what is there already is fine
	appWorks(t)

	makeTarget(t, "uninstall")
	eventually(t, func() bool {
		return strings.Contains(kubectl(t, "-n", team, "logs", "app", "-c", "connector-proxy"), "the last good one stays in use")
	}, "the sidecar does not see that the ConfigMap beside the Connector is gone")
	appWorks(t)
	// Nothing stops a Pod that still asks; it gets no sidecar.
	kubectl(t, "-n", team, "run", "asks", "--image=none", "--annotations=connectors.alauda.io/connectors=k8s-connector", "--dry-run=server")

	removeTeam(t)
	nothingLeft()
}

// TestArchiveOfSeveralArchitectures: the node takes from it what it can run.
func TestArchiveOfSeveralArchitectures(t *testing.T) {
	toolbox, err := clusters.Toolbox(t.Context())
	require.NoError(t, err)
	busybox := toolbox.Files[0]
	var images []image.Image
	for _, arch := range []string{"amd64", "arm64"} {
		images = append(images, image.Image{
			Tag: "kube-connector/several:dev", Architecture: arch, Entrypoint: []string{busybox.Path},
			Files: []image.File{busybox},
		})
	}
	index, err := image.MultiArch(images...)
	require.NoError(t, err)
	archive := t.TempDir() + "/image.tar"
	require.NoError(t, image.WriteArchive(archive, "kube-connector/several:dev", index))
	require.NoError(t, clusters.LoadImage(t.Context(), archive))
	kubectl(t, "run", "several", "--image=kube-connector/several:dev", "--image-pull-policy=Never", "--restart=Never", "--", "true")
	kubectl(t, "wait", "--for=jsonpath={.status.phase}=Succeeded", "--timeout=60s", "pod/several")
	kubectl(t, "delete", "pod", "several")
}
