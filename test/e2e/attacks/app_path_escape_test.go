package attacks

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/kube-connector/kube-connector/pkg/apis/connectors/v1alpha1"
	"github.com/kube-connector/kube-connector/test/e2e/bed"
)

var _ = declare(attack{
	name: "app_path_escape", actor: app, outcome: prevented,
	tries: "leaves the path of the Connector's address, with dot segments in all encodings",
	what:  "such paths are refused",
	run: func(t *testing.T, s *scene) {
		s.connect(t, "with-path", bed.Clusters.Target.Address+"/api/v1")
		pod := s.pod()
		pod.Annotations[v1alpha1.AnnotationConnectors] = "with-path"
		pod = start(t, pod)
		output := s.shell(t, pod, "app", "kubectl get --raw /namespaces")
		require.Contains(t, output, "NamespaceList", "what is below the path can be used")
		for _, path := range []string{
			"/version", "/api/v1/../../version", "/api/v1/%2e%2e/%2e%2e/version", "/api/v1/%2E./.%2e/version", "/api/v1/..%2f..%2fversion",
			"/api/v1/%252e%252e/%252e%252e/version", "/api/v1/..;/..;/version", "/api/v1/..\\..\\version", "/api/v1/%c0%ae%c0%ae/version", "//version",
			"/api/v1\x00/../../version", "/api/v1/..%00/..%00/version", "/api/v1?/../../version", "/api/v10/../../version", "/API/v1/../../version",
		} {
			request := "GET " + path + " HTTP/1.1\r\nHost: $SERVER\r\nConnection: close\r\n\r\n"
			output, err := s.runs(t, pod, "app", request, "attacker", "send", "proxy")
			require.NoError(t, err, output)
			assert.NotContains(t, output, "gitVersion", path)
		}
	},
})
