package install

import (
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/kube-connector/kube-connector/build/image"
	"github.com/kube-connector/kube-connector/test/cluster"
)

// certManagerManifest runs what of cert-manager issues certificates and injects CAs.
const certManagerManifest = `
apiVersion: v1
kind: Namespace
metadata: {name: cert-manager}
---
apiVersion: v1
kind: ServiceAccount
metadata: {name: cert-manager, namespace: cert-manager}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRoleBinding
metadata: {name: cert-manager}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: cluster-admin}
subjects: [{kind: ServiceAccount, name: cert-manager, namespace: cert-manager}]
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: controller, namespace: cert-manager}
spec:
  selector: {matchLabels: {app: controller}}
  template:
    metadata: {labels: {app: controller}}
    spec:
      serviceAccountName: cert-manager
      containers: [{name: controller, image: "cert-manager/controller:dev", imagePullPolicy: Never}]
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: cainjector, namespace: cert-manager}
spec:
  selector: {matchLabels: {app: cainjector}}
  template:
    metadata: {labels: {app: cainjector}}
    spec:
      serviceAccountName: cert-manager
      containers: [{name: cainjector, image: "cert-manager/cainjector:dev", imagePullPolicy: Never}]
`

// TestCertManager installs config/certmanager beside cert-manager, and has it make
// the CA and then the certificate anew, while Pods are created all the time.
func TestCertManager(t *testing.T) {
	nothingLeft := leavesNothing(t)
	remove := installCertManager(t)
	kubectl(t, "apply", "-k", filepath.Join(root, "config", "certmanager"))
	require.NoError(t, clusters.AwaitProduct(t.Context()))
	newTeam(t)

	assert.NotContains(t, kubectl(t, "-n", "connectors-system", "get", "secrets", "-o", "name"), "connector-webhook-ca", "the webhook makes a CA of its own")
	account := "--as=system:serviceaccount:connectors-system:connector-webhook"
	for _, right := range [][]string{{"create", "secrets"}, {"get", "secrets"}, {"update", "mutatingwebhookconfigurations/connector-webhook"}} {
		answer, _ := tryKubectl(t, append([]string{"auth", "can-i", "-n", "connectors-system", account}, right...)...)
		assert.Equal(t, "no", strings.TrimSpace(answer), right)
	}

	before := certificateOf(t, secretData(t, "connector-webhook-certificate", "tls.crt"))
	stop := stream(t, 0)
	for _, name := range []string{"connector-webhook-issuer", "connector-webhook-certificate"} {
		key := secretData(t, name, "tls.key")
		require.NotEmpty(t, key)
		kubectl(t, "-n", "connectors-system", "delete", "secret", name)
		eventually(t, func() bool {
			now := secretData(t, name, "tls.key")
			return now != "" && now != key
		}, "cert-manager does not make %s anew", name)
	}
	renewed := certificateOf(t, secretData(t, "connector-webhook-certificate", "tls.crt"))
	assert.NotEqual(t, before.AuthorityKeyId, renewed.AuthorityKeyId)
	for _, replica := range replicas(t) {
		eventually(t, func() bool {
			leaf, err := servedBy(t, &replica)
			require.NoError(t, err)
			return leaf.Equal(renewed)
		}, "%s does not serve with the new certificate", replica.Name)
	}
	stop()
	appWorks(t)

	removeTeam(t)
	makeTarget(t, "uninstall")
	remove()
	nothingLeft()
}

// installCertManager installs cert-manager's CRDs, controller and cainjector.
func installCertManager(t *testing.T) (remove func()) {
	t.Helper()
	certManager, err := cluster.CertManager(t.Context(), os.Stderr)
	require.NoError(t, err)
	for _, name := range []string{"controller", "cainjector"} {
		require.NoError(t, clusters.BuildImage(t.Context(), image.Image{
			Tag: "cert-manager/" + name + ":dev", Entrypoint: []string{"/" + name},
			Files: []image.File{{Path: "/" + name, Source: filepath.Join(certManager.Binaries, name)}},
		}))
	}
	crds, err := filepath.Glob(filepath.Join(certManager.Source, "deploy", "crds", "*.yaml"))
	require.NoError(t, err)
	require.NotEmpty(t, crds)
	var files []string
	for _, crd := range crds {
		files = append(files, "-f", crd)
	}
	// They are too long for the annotation of a client-side apply.
	kubectl(t, append([]string{"apply", "--server-side"}, files...)...)
	kubectl(t, append([]string{"wait", "--for=condition=Established", "--timeout=60s"}, files...)...)
	apply(t, certManagerManifest)
	for _, name := range []string{"controller", "cainjector"} {
		kubectl(t, "-n", "cert-manager", "rollout", "status", "--timeout=60s", "deployment/"+name)
	}
	return func() {
		_, err := command(t.Context(), certManagerManifest, clusters.Kubectl, "--kubeconfig", clusters.Home.Kubeconfig, "delete", "-f", "-")
		require.NoError(t, err)
		kubectl(t, append([]string{"delete"}, files...)...)
	}
}

// secretData is a value of a Secret of ours as it is in the API, or "".
func secretData(t *testing.T, name, key string) string {
	t.Helper()
	return kubectl(t, "-n", "connectors-system", "get", "secret", name, "--ignore-not-found", "-o", "jsonpath={.data."+strings.ReplaceAll(key, ".", `\.`)+"}")
}

// certificateOf reads the first certificate of such a value.
func certificateOf(t *testing.T, data string) *x509.Certificate {
	t.Helper()
	content, err := base64.StdEncoding.DecodeString(data)
	require.NoError(t, err)
	block, _ := pem.Decode(content)
	require.NotNil(t, block)
	certificate, err := x509.ParseCertificate(block.Bytes)
	require.NoError(t, err)
	return certificate
}
