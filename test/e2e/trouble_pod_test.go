package e2e

import "strings"

const getPods = "kubectl get pods -A"

// inPod runs kubectl in a Pod that uses a Connector.
func inPod(fault func(s *scene) faulty) func(s *scene) func() string {
	return func(s *scene) func() string {
		name := s.name()
		s.kubectl(connectorManifest(name, fault(s)), "apply", "-f", "-")
		s.kubectl(podManifest(name, uses(name)), "apply", "-f", "-")
		return s.shell(name, getPods)
	}
}

// inGoodPod runs a command in the one Pod in which all is well.
func inGoodPod(command string) func(s *scene) func() string {
	return func(s *scene) func() string {
		s.kubectl(podManifest("good", uses("good")), "apply", "-f", "-")
		return s.shell("good", command)
	}
}

// shell runs a command in a Pod. Until the Pod runs that fails with other words.
func (s *scene) shell(pod, command string) func() string {
	return func() string { return s.kubectl("", "exec", pod, "-c", "app", "--", "sh", "-c", command) }
}

var podTroubles = []trouble{
	{
		`no token yet: the file token is not there; does the Secret of the Connector exist, and does it have the key "token"?`,
		inPod(with(faulty{secret: "wrong-key"})),
	},
	{
		"address and CA are not sealed with this token; if the Secret was changed just now this passes within two minutes, else look at the status of the Connector",
		inPod(with(faulty{secret: "wrong-type"})),
	},
	{"the cluster refuses the token of the Connector's Secret (401 Unauthorized); put a valid one there", inPod(with(faulty{secret: "refused"}))},
	{
		"… refuses connections; is the API server up, and is spec.address of the Connector right?",
		inPod(at(func(s *scene) string { return s.dead })),
	},
	{
		"… does not answer in time; is it reachable from this Pod (NetworkPolicy, firewall)?",
		inPod(at(func(s *scene) string { return s.stalled })),
	},
	{"there is no route to … from this Pod; check spec.address of the Connector, and firewalls", inPod(at(noRoute))},
	{"is forbidden: User … cannot …", inGoodPod("kubectl create namespace not-allowed")},
	{"The connection to the server localhost:8080 was refused", func(s *scene) func() string {
		// As in a container of kubectl debug, nothing is mounted.
		s.kubectl(podManifest("bare", "", "automountServiceAccountToken: false"), "apply", "-f", "-")
		return s.shell("bare", getPods)
	}},
	{
		"wrong temporary token: read the kubeconfig of this Pod again",
		inGoodPod(`sed 's/\(proxy-url: .*\)...@/\1xxx@/' "$KUBECONFIG" >/tmp/copied; KUBECONFIG=/tmp/copied kubectl get pods`),
	},
	{"The connection to the server … was refused - did you specify the right host or port?", func(s *scene) func() string {
		kubeconfig := inGoodPod("cat $KUBECONFIG")(s)
		s.kubectl(podManifest("elsewhere", ""), "apply", "-f", "-")
		return func() string {
			return s.kubectl(kubeconfig(), "exec", "-i", "elsewhere", "--", "sh", "-c", "cat >/tmp/copied; KUBECONFIG=/tmp/copied kubectl get pods")
		}
	}},
	{
		"certificate signed by unknown authority",
		inGoodPod(`sed '/proxy-url/d' "$KUBECONFIG" >/tmp/no-proxy; KUBECONFIG=/tmp/no-proxy kubectl get pods`),
	},
	{"Address already in use", func(s *scene) func() string {
		name := s.name()
		listens := strings.Replace(podManifest(name, uses("good")), `[sleep, "3600"]`, `[nc, -l, -p, "17443"]`, 1)
		s.kubectl(listens, "apply", "-f", "-")
		return func() string { return s.kubectl("", "logs", name, "-c", "app") }
	}},
}
