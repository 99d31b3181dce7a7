package attacks

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/kube-connector/kube-connector/pkg/apis/connectors/v1alpha1"
	"github.com/kube-connector/kube-connector/pkg/connector"
	"github.com/kube-connector/kube-connector/test/e2e/bed"
)

var _ = declare(attack{
	name: "reader_events", actor: reader, outcome: prevented,
	tries: "reads events and conditions while a token is refused, of the wrong form, or gone",
	what:  "they say what is wrong with it, without a byte of it",
	run: func(t *testing.T, s *scene) {
		other := bed.NewNamespace(t)
		bed.Create(t, bed.Home, bed.TokenSecret(other, s.token+"x"))
		c := bed.MakeConnector(t, other, bed.Clusters.Target.Address, bed.Clusters.Target.CA)
		bed.AwaitReady(t, c, metav1.ConditionFalse, v1alpha1.ReasonAuthenticationFailed)
		mallory := s.everywhere(t, []rbacv1.PolicyRule{may("", "events", "list"), may("connectors.alauda.io", "connectors", "list")})
		read := func() {
			for _, path := range []string{"/api/v1/namespaces/" + other + "/events", "/apis/connectors.alauda.io/v1alpha1/namespaces/" + other + "/connectors"} {
				content, err := mallory.set.CoreV1().RESTClient().Get().AbsPath(path).Do(t.Context()).Raw()
				require.NoError(t, err)
				s.sees(string(content))
			}
		}
		read()
		var secret corev1.Secret
		require.NoError(t, bed.Home.Get(t.Context(), client.ObjectKey{Namespace: other, Name: theSecret}, &secret))
		secret.Data = map[string][]byte{connector.SecretKeyToken: []byte(s.token + "\n" + s.token)}
		require.NoError(t, bed.Home.Update(t.Context(), &secret))
		bed.Eventually(t, func() bool {
			var now v1alpha1.Connector
			require.NoError(t, bed.Home.Get(t.Context(), client.ObjectKeyFromObject(c), &now))
			return !meta.IsStatusConditionTrue(now.Status.Conditions, string(v1alpha1.ConditionSecretReady))
		}, "the token of the wrong form is not seen")
		read()
		assert.Contains(t, s.seen.String(), "AuthenticationFailed")
	},
})
