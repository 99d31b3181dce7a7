package attacks

import (
	"encoding/base64"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
)

var _ = declare(attack{
	name: "admin_secret_verbs", actor: admin, outcome: notPrevented,
	tries: "reads the Secret with other verbs than get: list, watch, patch, delete, deletecollection",
	what:  "each of them shows it: [grant none of these](#who-may-read-the-secret) on Secrets, nor `*`",
	run: func(t *testing.T, s *scene) {
		for _, verb := range []string{"list", "watch", "patch", "delete", "deletecollection"} {
			mallory := s.person(t, []rbacv1.PolicyRule{may("", "secrets", verb)})
			secrets := mallory.set.CoreV1().RESTClient().Verb(map[string]string{"patch": "PATCH", "delete": "DELETE", "deletecollection": "DELETE"}[verb])
			if verb == "list" || verb == "watch" {
				secrets = mallory.set.CoreV1().RESTClient().Get()
			}
			secrets = secrets.Resource("secrets").Namespace(s.namespace)
			switch verb {
			case "watch":
				secrets.Param("watch", "1").Param("timeoutSeconds", "1")
			case "patch":
				secrets.Name(theSecret).Param("dryRun", "All").SetHeader("Content-Type", string(types.MergePatchType)).Body([]byte(`{}`))
			case "delete":
				// What is not deleted at once is shown.
				secrets.Name(theSecret).Param("dryRun", "All").Param("propagationPolicy", "Foreground")
			case "deletecollection":
				secrets.Param("dryRun", "All")
			}
			answer, err := secrets.Do(t.Context()).Raw()
			require.NoError(t, err, verb)
			assert.Contains(t, string(answer), base64.StdEncoding.EncodeToString([]byte(s.token)), verb)
		}
		_, err := s.person(t, []rbacv1.PolicyRule{may("", "secrets", "create", "update")}).set.CoreV1().Secrets(s.namespace).Get(t.Context(), theSecret, metav1.GetOptions{})
		require.ErrorContains(t, err, "cannot get resource")
	},
})
