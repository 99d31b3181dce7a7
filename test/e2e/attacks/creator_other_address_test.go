package attacks

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/kube-connector/kube-connector/test/e2e/bed"
)

var _ = declare(attack{
	name: "creator_other_address", actor: creator, outcome: prevented,
	tries: "writes the sidecar by hand, with the Connector's name and an address of its own",
	what:  "the token goes to the sealed address only",
	run: func(t *testing.T, s *scene) {
		trap := bed.NewTrap(t)
		pod := s.copyOf(s.victim)
		proxy := &pod.Spec.InitContainers[0]
		for i, argument := range proxy.Args {
			proxy.Args[i] = strings.ReplaceAll(argument, bed.Clusters.Target.Address, trap.Address)
		}
		require.Contains(t, strings.Join(proxy.Args, " "), trap.Address)
		if err := s.creates(t, s.person(t, createsPods), pod); err != nil {
			refused(t, err)
			return
		}
		pod = bed.AwaitPod(t, pod, "running", bed.Running)
		bed.Eventually(t, func() bool {
			output := s.shell(t, pod, "app", "kubectl --context=k8s-localhost auth whoami")
			return strings.Contains(output, s.account)
		}, "the sealed address is not used")
		s.shell(t, pod, "app", "kubectl get --raw /api")
		assert.Empty(t, trap.Received())
	},
})
