package v1alpha1

// KeyPrefix is the prefix of every label and annotation of this project.
const KeyPrefix = GroupName + "/"

// Labels and annotations.
const (
	// LabelInjection on a Namespace says whether its Pods may use Connectors.
	LabelInjection = KeyPrefix + "injection"
	// InjectionEnabled as the value of LabelInjection: Pods may opt in.
	InjectionEnabled = "enabled"

	// AnnotationConnectors on a Pod names the Connectors it uses:
	// "name" or "namespace/name", comma separated.
	AnnotationConnectors = KeyPrefix + "connectors"
	// AnnotationInject on a Pod, with the value "false", opts out.
	AnnotationInject = KeyPrefix + "inject"

	// AnnotationStatus on a Pod is written by the webhook: what was injected, as
	// JSON.
	AnnotationStatus = KeyPrefix + "status"
	// LabelInjected on a Pod, with the value "true", is written by the webhook.
	LabelInjected = KeyPrefix + "injected"
	// LabelConnector on a ConfigMap is the name of the Connector it belongs to.
	LabelConnector = KeyPrefix + "connector"
)

// ConnectionConfigMapName is the name of the ConfigMap beside a Connector that
// carries its address and CA bundle to running Pods.
func ConnectionConfigMapName(connectorName string) string {
	return connectorName + ".connector"
}

// Keys of that ConfigMap; the sidecar reads them as files.
const (
	// ConnectionKeyAddress is the key of the address.
	ConnectionKeyAddress = "address"
	// ConnectionKeyCA is the key of the CA bundle, in PEM; absent if there is none.
	ConnectionKeyCA = "ca.crt"
	// ConnectionKeySeal is the key of what proves to the sidecar that the other
	// two are meant for its token: see connector.Seal.
	ConnectionKeySeal = "seal"
)
