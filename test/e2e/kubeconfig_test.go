package e2e

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/tools/clientcmd"

	"github.com/kube-connector/kube-connector/pkg/apis/connectors/v1alpha1"
)

// TestSeveralConnectors: every context of a Pod with several connectors has the
// identity of its own, even where two are for the same server.
func TestSeveralConnectors(t *testing.T) {
	t.Parallel()
	namespace := newNamespace(t)
	people := map[string]*identity{
		"reader": newIdentity(t, target, "view"),
		"writer": newIdentity(t, target, "edit"),
		"here":   newIdentity(t, home, "view"),
	}
	for name, identity := range people {
		secret := tokenSecret(namespace, identity.Token(t))
		secret.Name = name
		c := connectorObject(namespace, clusters.Target.Address)
		ca := clusters.Target.CA
		if name == "here" {
			c.Spec.Address, ca = clusters.Home.Address, clusters.Home.CA
		}
		secret.StringData["ca.crt"] = string(ca)
		create(t, home, secret)
		c.Name, c.Spec.Auth.SecretRef.Name, c.Spec.CACertSecretRef = name, name, nil
		create(t, home, c)
		awaitReady(t, c, metav1.ConditionTrue, v1alpha1.ReasonReady)
	}
	pod := sleeper(namespace)
	pod.Annotations[v1alpha1.AnnotationConnectors] = "writer, reader," + namespace + "/here"
	create(t, home, pod)
	pod = awaitPod(t, pod, "running", running)

	file, err := execute(t, pod, "app", "", "kubectl", "config", "view", "--raw")
	require.NoError(t, err, file)
	config, err := clientcmd.Load([]byte(file))
	require.NoError(t, err)
	assert.Equal(t, "writer", config.CurrentContext)
	assert.Len(t, config.Contexts, 2*len(people))
	for name, identity := range people {
		for _, context := range []string{name, name + "-localhost"} {
			output, err := execute(t, pod, "app", "", "kubectl", "--context="+context, "auth", "whoami", "-o", "jsonpath={.status.userInfo.username}")
			require.NoError(t, err, output)
			assert.Equal(t, "system:serviceaccount:"+identity.Account.Namespace+":"+identity.Account.Name, output, context)
		}
	}
	// A context's credentials open no other connector.
	config.Clusters["reader-localhost"].Server = config.Clusters["here-localhost"].Server + "x"
	changed, err := clientcmd.Write(*config)
	require.NoError(t, err)
	output, err := execute(t, pod, "app", string(changed), "sh", "-c",
		"cat > /tmp/changed; kubectl --kubeconfig=/tmp/changed --context=reader-localhost get --raw /api")
	require.Error(t, err)
	assert.Contains(t, output, "NotFound")
}
