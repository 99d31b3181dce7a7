package v1alpha1

// KeyPrefix is the prefix of every label and annotation of this project.
const KeyPrefix = GroupName + "/"

// Labels and annotations.
const (
	// LabelInjection on a Namespace says whether its Pods may use Connectors.
	LabelInjection = KeyPrefix + "injection"
	// InjectionEnabled as the value of LabelInjection: Pods may opt in.
	InjectionEnabled = "enabled"
	// InjectionAlways as the value of LabelInjection: every Pod is injected,
	// unless it opts out.
	InjectionAlways = "always"

	// LabelPolicy on a Namespace says whether the policies that keep tokens from
	// people hold in it.
	LabelPolicy = KeyPrefix + "policy"
	// PolicyExempt as the value of LabelPolicy: they do not.
	PolicyExempt = "exempt"

	// AnnotationConnectors on a Pod names the Connectors it uses:
	// "name" or "namespace/name", comma separated. On a Namespace it names those
	// of Pods that name none themselves.
	AnnotationConnectors = KeyPrefix + "connectors"
	// AnnotationInject on a Pod: "true" asks for the Connectors that its Namespace
	// names; "false" opts out.
	AnnotationInject = KeyPrefix + "inject"
	// AnnotationContainers on a Pod names the containers that get the kubeconfig,
	// comma separated. Without it all do.
	AnnotationContainers = KeyPrefix + "containers"
	// AnnotationMountPath on a Pod is the directory of the kubeconfig in its
	// containers.
	AnnotationMountPath = KeyPrefix + "mount-path"

	// AnnotationKubeconfigMode on a Pod says which kind of context is the
	// kubeconfig's current one: "proxy" or "localhost".
	AnnotationKubeconfigMode = KeyPrefix + "kubeconfig-mode"
	// AnnotationInCluster on a Pod, with the value "true", makes the Connector's
	// cluster the one that in-cluster clients reach.
	AnnotationInCluster = KeyPrefix + "in-cluster"
	// AnnotationProxyPort on a Pod is the sidecar's port for CONNECT; the one
	// above it is that of the localhost mode, and the next that of AnnotationInCluster.
	AnnotationProxyPort = KeyPrefix + "proxy-port"
	// AnnotationProxyCPU on a Pod is the CPU that the sidecar requests.
	AnnotationProxyCPU = KeyPrefix + "proxy-cpu"
	// AnnotationProxyCPULimit on a Pod is the sidecar's CPU limit.
	AnnotationProxyCPULimit = KeyPrefix + "proxy-cpu-limit"
	// AnnotationProxyMemory on a Pod is the memory that the sidecar requests.
	AnnotationProxyMemory = KeyPrefix + "proxy-memory"
	// AnnotationProxyMemoryLimit on a Pod is the sidecar's memory limit.
	AnnotationProxyMemoryLimit = KeyPrefix + "proxy-memory-limit"
	// AnnotationLogLevel on a Pod is what the sidecar logs: "debug", "info",
	// "warn" or "error".
	AnnotationLogLevel = KeyPrefix + "log-level"

	// AnnotationStatus on a Pod is written by the webhook: what was injected, as
	// JSON.
	AnnotationStatus = KeyPrefix + "status"
	// LabelInjected on a Pod, with the value "true", is written by the webhook.
	LabelInjected = KeyPrefix + "injected"
	// LabelConnector on a ConfigMap is the name of the Connector it belongs to.
	LabelConnector = KeyPrefix + "connector"
)

// A Pod's csi volume that asks for Connectors: its driver and its
// volumeAttributes.
const (
	// CSIDriver is the driver. None is installed: the webhook puts the sidecar in
	// its place.
	CSIDriver = "connectors-csi"
	// AttributeConnectors names Connectors: "name" or "namespace/name", comma
	// separated.
	AttributeConnectors = "connectors"
	// AttributeConnectorName is the older way to name one Connector.
	AttributeConnectorName = "connector.name"
	// AttributeConnectorNamespace goes with AttributeConnectorName; missing or
	// empty it is the Pod's namespace.
	AttributeConnectorNamespace = "connector.namespace"
	// AttributeConfigurationNames says which files are wanted: "kubeconfig".
	AttributeConfigurationNames = "configuration.names"
)

// ConnectionConfigMapName is the name of the ConfigMap beside a Connector that
// carries its address and CA bundle to running Pods.
func ConnectionConfigMapName(connectorName string) string {
	return connectorName + ".connector"
}

// Keys of the ConfigMap beside a Connector; the sidecar reads them as files.
const (
	// ConnectionKeyAddress is the key of the address.
	ConnectionKeyAddress = "address"
	// ConnectionKeyCA is the key of the CA bundle, in PEM; absent if there is none.
	ConnectionKeyCA = "ca.crt"
	// ConnectionKeySeal is the key of what proves to the sidecar that the other
	// two are meant for its token: see connector.Seal.
	ConnectionKeySeal = "seal"
)
