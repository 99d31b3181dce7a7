package e2e

import (
	"fmt"
	"strings"
	"testing"

	"github.com/kube-connector/kube-connector/pkg/apis/connectors/v1alpha1"
)

// inStatus applies a Connector and looks at the list of them.
func inStatus(fault func(s *scene) faulty) func(s *scene) func() string {
	return func(s *scene) func() string {
		name := s.name()
		s.kubectl(connectorManifest(name, fault(s)), "apply", "-f", "-")
		return func() string { return s.kubectl("", "get", "connector", name, "-o", "wide") }
	}
}

func with(f faulty) func(*scene) faulty { return func(*scene) faulty { return f } }

// at is a Connector with another address.
func at(address func(s *scene) string) func(*scene) faulty {
	return func(s *scene) faulty { return faulty{address: address(s)} }
}

func noRoute(*scene) string { return "https://192.0.2.1:6443" }

var statusTroubles = []trouble{
	{"ConnectorClass … does not exist; create it or correct spec.connectorClassName", inStatus(with(faulty{class: "k8"}))},
	{"Secret … does not exist in namespace …; create it with type … and key token", inStatus(with(faulty{secret: "god"}))},
	{"Secret … has type …; make it anew with type …", inStatus(with(faulty{secret: "wrong-type"}))},
	{`Secret … has no key "token"; put the token there`, inStatus(with(faulty{secret: "wrong-key"}))},
	{`key "token" of Secret … is not a token: …`, inStatus(with(faulty{secret: "with-bearer"}))},
	{`the cluster refuses the token in Secret … (401 Unauthorized); put a valid token under its key "token"`, inStatus(with(faulty{secret: "refused"}))},
	{
		"the certificate of … is not trusted: its CA … is unknown; put that CA into a Secret named by spec.caCertSecretRef, or under ca.crt beside the token",
		inStatus(with(faulty{secret: "without-ca"})),
	},
	{
		"the certificate of the cluster is not trusted: Secret … does not exist in namespace …; create it with the CA under key ca.crt",
		inStatus(with(faulty{secret: "without-ca", ca: "nowhere"})),
	},
	{"the certificate of … has expired; renew it", inStatus(func(s *scene) faulty { return faulty{address: s.expired, secret: "expired"} })},
	{
		"the certificate of … is not for … but for …; put one of these into spec.address, or the host into the certificate",
		inStatus(func(s *scene) faulty { return faulty{address: s.misnamed, secret: "misnamed"} }),
	},
	{"no connection to …: connection refused; check host and port of spec.address", inStatus(at(func(s *scene) string { return s.dead }))},
	{"no connection to …: no answer within 5s; check spec.address and firewalls", inStatus(at(func(s *scene) string { return s.stalled }))},
	{"no connection to …: there is no route to it; check spec.address and firewalls", inStatus(at(noRoute))},
	{"no connection to …: the server does not speak TLS; check the port of spec.address", inStatus(at(func(s *scene) string { return s.plain }))},
	{"no connection to …: the host name …", inStatus(at(func(*scene) string { return "https://no-such-host.invalid:6443" }))},
}

// applying applies something, again and again, without keeping it.
func applying(manifest func(s *scene) (namespace, manifest string)) func(s *scene) func() string {
	return func(s *scene) func() string {
		namespace, m := manifest(s)
		return func() string { return kubectl(s.t, m, "-n", namespace, "create", "--dry-run=server", "-f", "-") }
	}
}

// applyingPod applies a Pod in the scene's namespace.
func applyingPod(annotation string, spec ...string) func(s *scene) func() string {
	return applying(func(s *scene) (string, string) { return s.namespace, podManifest("refused", annotation, spec...) })
}

// ofNamespace changes the scene's namespace, again and again, without keeping it.
func ofNamespace(verb, change string) func(s *scene) func() string {
	return func(s *scene) func() string { return changing(s.t, s.namespace, verb, change) }
}

func changing(t *testing.T, namespace, verb, change string) func() string {
	t.Helper()
	return func() string {
		return kubectl(t, "", verb, "--dry-run=server", "--overwrite", "namespace", namespace, change)
	}
}

// applyingAlways applies a Pod that does not ask where all are to be injected.
func applyingAlways(spec string) func(s *scene) func() string {
	return applying(func(s *scene) (string, string) {
		return s.newNamespace(map[string]string{v1alpha1.LabelInjection: v1alpha1.InjectionAlways}), podManifest("plain", "", spec)
	})
}

var admissionTroubles = []trouble{
	{"spec.address: Invalid value: …: must start with https://, because the token is only sent over verified TLS", applying(func(s *scene) (string, string) {
		return s.namespace, connectorManifest("refused", faulty{address: "http://192.0.2.1:8080"})
	})},
	{"namespace … lacks the label connectors.alauda.io/injection=enabled, so its Pods get no sidecar: …", applying(func(s *scene) (string, string) {
		return s.newNamespace(nil), jobManifest("list", uses("good"), "")
	})},
	{
		"label connectors.alauda.io/injection has the value …, which this version does not know, so Pods get no sidecar; only \"enabled\" and \"always\" are allowed: …",
		ofNamespace("label", v1alpha1.LabelInjection+"=true"),
	},
	{
		"Pods that name no Connector get no sidecar, because the annotation connectors.alauda.io/connectors is missing; …",
		ofNamespace("label", v1alpha1.LabelInjection+"=always"),
	},
	{
		"annotation connectors.alauda.io/connectors does nothing without the label connectors.alauda.io/injection; …",
		func(s *scene) func() string {
			return changing(s.t, s.newNamespace(nil), "annotate", v1alpha1.AnnotationConnectors+"=good")
		},
	},
	{
		"annotation connectors.alauda.io/connectors has the value …, so Pods that get these Connectors are refused; …",
		ofNamespace("annotate", v1alpha1.AnnotationConnectors+"=default/good"),
	},
	{
		"not injected: neither the Pod nor namespace …, which has the label connectors.alauda.io/injection: always, has the annotation connectors.alauda.io/connectors; …",
		applyingAlways(""),
	},
	{"not injected, because the Pod has hostNetwork: …; if that is as it should be, …", applyingAlways("hostNetwork: true")},
	{"annotation connectors.alauda.io/connectors on the … itself does nothing; put it under …", applying(func(s *scene) (string, string) {
		return s.namespace, jobManifest("list", "", uses("good"))
	})},
	{"annotation … is not known to this version and does nothing; …", applyingPod("connectors.alauda.io/connector: good")},
	{"container …: its mount of this cluster's API token was replaced: in-cluster clients in it reach the Connector's cluster", applyingInCluster("env: []")},
	{"Connector … is not ready: …", func(s *scene) func() string {
		name := s.name()
		s.kubectl(connectorManifest(name, faulty{class: "k8"}), "apply", "-f", "-")
		return func() string {
			return s.kubectl(podManifest("warned", uses(name)), "create", "--dry-run=server", "-f", "-")
		}
	}},
	{
		"the Connector …, which … names, does not exist; create it or correct the name",
		func(s *scene) func() string {
			name := s.name()
			s.kubectl(jobManifest(name, uses("god"), ""), "apply", "-f", "-")
			return func() string { return s.kubectl("", "describe", "job", name) }
		},
	},
	{
		"a Pod of namespace … cannot use a Connector of another namespace, because the token would have to leave it; create a Connector in …",
		applyingPod(uses("default/good")),
	},
	{"the Pod has hostNetwork: …; remove that, or what asks for a Connector: …", applyingPod(uses("good"), "hostNetwork: true")},
	{
		`annotation connectors.alauda.io/inject is "true", but neither the Pod nor namespace … has the annotation connectors.alauda.io/connectors; name the Connectors in one of them`,
		applyingPod(v1alpha1.AnnotationInject + `: "true"`),
	},
	{
		"annotation connectors.alauda.io/containers names container …; the Pod has …",
		applyingPod(uses("good") + ", " + v1alpha1.AnnotationContainers + ": man"),
	},
	{"container … mounts volume … at …, where the kubeconfig belongs; mount it elsewhere", applying(func(s *scene) (string, string) {
		pod := podManifest("refused", uses("good"), "volumes:", "- {name: own, emptyDir: {}}")
		return s.namespace, strings.Replace(pod, "{name: app,", "{name: app, volumeMounts: [{name: own, mountPath: /var/run/connectors.alauda.io}],", 1)
	})},
	{"annotation … has the value …; allowed are …", applyingPod(uses("good") + `, connectors.alauda.io/proxy-port: "80"`)},
	{`annotation connectors.alauda.io/in-cluster is "true", but …: …`, func(s *scene) func() string {
		s.kubectl(connectorManifest("other", faulty{}), "apply", "-f", "-")
		return applyingPod(v1alpha1.AnnotationConnectors + `: "good,other", ` + inCluster)(s)
	}},
	{
		"container … sets … itself, which annotation connectors.alauda.io/in-cluster has to set to …; remove one of the two",
		applyingInCluster("env: [{name: KUBERNETES_SERVICE_HOST, value: api.example.com}]"),
	},
	{
		"container … mounts volume … at …, where in-cluster clients look; mount it elsewhere, or remove annotation connectors.alauda.io/in-cluster",
		applyingInCluster("volumeMounts: [{name: own, mountPath: /var/run/secrets/kubernetes.io/serviceaccount}]"),
	},
	{"failed quota: …: must specify limits.cpu for: …", limited(quota("limits.cpu", "1"))},
	{"exceeded quota: …", limited(quota("requests.memory", "20Mi"))},
	{"minimum memory usage per Container is …, but request is 16Mi", limited(limitRange("min: {memory: 32Mi}"))},
	{"maximum memory usage per Container is …, but limit is 64Mi", limited(limitRange("max: {memory: 48Mi}"))},
	{
		"memory max limit to request ratio per Container is …, but provided ratio is …",
		limited(limitRange("default: {memory: 16Mi}, maxLimitRequestRatio: {memory: 2}")),
	},
	{"driver name connectors-csi not found in the list of registered CSI drivers", func(s *scene) func() string {
		name := s.name()
		pod := podManifest(name, v1alpha1.AnnotationInject+`: "false"`, "volumes:", "- {name: kube, csi: {driver: connectors-csi, readOnly: true}}")
		pod = strings.Replace(pod, "{name: app,", "{name: app, volumeMounts: [{name: kube, mountPath: /opt/kube}],", 1)
		s.kubectl(pod, "apply", "-f", "-")
		return func() string { return s.kubectl("", "describe", "pod", name) }
	}},
	{`violates PodSecurity "restricted:latest": …`, applying(func(s *scene) (string, string) {
		return s.newNamespace(map[string]string{
			v1alpha1.LabelInjection: v1alpha1.InjectionEnabled, "pod-security.kubernetes.io/enforce": "restricted",
		}), podManifest("refused", uses("good"))
	})},
}

const inCluster = v1alpha1.AnnotationInCluster + `: "true"`

// applyingInCluster applies a Pod that asks for in-cluster clients to be served, with
// one more member of its container.
func applyingInCluster(member string) func(s *scene) func() string {
	return applying(func(s *scene) (string, string) {
		pod := podManifest("refused", uses("good")+", "+inCluster, "volumes: [{name: own, emptyDir: {}}]")
		return s.namespace, strings.Replace(pod, "{name: app,", "{name: app, "+member+",", 1)
	})
}

// limited applies a Pod that asks for some memory where that is limited.
func limited(limit string) func(s *scene) func() string {
	return applying(func(s *scene) (string, string) {
		namespace := s.newNamespace(map[string]string{v1alpha1.LabelInjection: v1alpha1.InjectionEnabled})
		kubectl(s.t, limit, "-n", namespace, "apply", "-f", "-")
		return namespace, strings.Replace(podManifest("refused", uses("good")), "{name: app,", "{name: app, resources: {requests: {memory: 10Mi}},", 1)
	})
}

func quota(resource, hard string) string {
	return fmt.Sprintf(`
apiVersion: v1
kind: ResourceQuota
metadata: {name: quota}
spec: {hard: {%s: %s}}
`, resource, hard)
}

// limitRange limits each container of a namespace.
func limitRange(limits string) string {
	return fmt.Sprintf(`
apiVersion: v1
kind: LimitRange
metadata: {name: limits}
spec: {limits: [{type: Container, %s}]}
`, limits)
}
