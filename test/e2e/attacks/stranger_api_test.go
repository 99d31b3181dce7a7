package attacks

import (
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/kube-connector/kube-connector/test/e2e/bed"
)

var _ = declare(attack{
	name: "stranger_api", actor: stranger, outcome: prevented,
	tries: "asks the API server and the kubelet with the token of its ServiceAccount",
	what:  "it has no rights there",
	run: func(t *testing.T, s *scene) {
		pod := s.plain()
		pod.Namespace = bed.NewNamespace(t)
		pod = start(t, pod)
		const account = "/var/run/secrets/kubernetes.io/serviceaccount"
		output := s.shell(t, pod, "app", "kubectl -n "+s.namespace+" get secret "+theSecret)
		assert.Contains(t, output, "Forbidden")
		node := pod.Status.HostIP
		for _, path := range []string{"/pods", "/run/" + s.namespace + "/" + s.victim.Name + "/" + sidecar, "/exec/" + s.namespace + "/" + s.victim.Name + "/app?command=env&output=1", "/configz", "/logs/"} {
			output := s.shell(t, pod, "app", `kubectl --kubeconfig=/dev/null --insecure-skip-tls-verify --server=https://`+node+`:10250 --token="$(cat `+account+`/token)" get --raw '`+path+`'`)
			assert.Contains(t, output, "Forbidden", path)
		}
		assert.NotContains(t, s.shell(t, pod, "app", "wget -q -O - http://"+node+":10255/pods"), "connector-proxy")
	},
})
