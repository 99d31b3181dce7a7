package v1alpha1

import (
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// Connector names a cluster and the Secret that holds the token for it. Pods
// of its namespace use it by naming it.
//
// +kubebuilder:object:root=true
// +kubebuilder:subresource:status
// +kubebuilder:resource:shortName=conn,categories=connectors
// +kubebuilder:printcolumn:name="Class",type=string,JSONPath=`.spec.connectorClassName`
// +kubebuilder:printcolumn:name="Address",type=string,JSONPath=`.spec.address`
// +kubebuilder:printcolumn:name="Ready",type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].status`
// +kubebuilder:printcolumn:name="Reason",type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].reason`
// +kubebuilder:printcolumn:name="Message",type=string,priority=1,JSONPath=`.status.conditions[?(@.type=="Ready")].message`
// +kubebuilder:printcolumn:name="Pods",type=integer,priority=1,JSONPath=`.status.consumers.pods`
// +kubebuilder:printcolumn:name="User",type=string,priority=1,JSONPath=`.status.user`
// +kubebuilder:printcolumn:name="Version",type=string,priority=1,JSONPath=`.status.target.version`
// +kubebuilder:printcolumn:name="Age",type=date,JSONPath=`.metadata.creationTimestamp`
// +kubebuilder:validation:XValidation:rule="size(self.metadata.name) <= 63",message="the name must have at most 63 characters, because it stands in labels of the Pods that use the Connector"
type Connector struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata,omitempty"`

	// Spec is what the owner of the Connector wants.
	Spec ConnectorSpec `json:"spec"`
	// Status is what the controller found out. It never holds a byte of the
	// Secret. Fields of the published API that are not here are accepted and mean
	// nothing.
	// +optional
	// +kubebuilder:pruning:PreserveUnknownFields
	Status ConnectorStatus `json:"status,omitempty"`
}

// ConnectorList is a list of Connectors.
//
// +kubebuilder:object:root=true
type ConnectorList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`
	// Items are the Connectors.
	Items []Connector `json:"items"`
}

// ConnectorSpec is what the owner of a Connector wants.
//
// +kubebuilder:validation:XValidation:rule="!has(self.addressExtensions) || !self.addressExtensions.exists(e, e.value == self.address)",message="must be other addresses than spec.address",fieldPath=".addressExtensions"
type ConnectorSpec struct {
	// ConnectorClassName is the name of the ConnectorClass: k8s for a Kubernetes
	// cluster.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	ConnectorClassName string `json:"connectorClassName"`

	// Address is where the API server is: https://host, https://host:port or
	// either with a path prefix, as in https://host:6443/kubernetes/global. Only
	// https is allowed, because the token is sent to it.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=1024
	// +kubebuilder:validation:XValidation:rule="self.startsWith('https://')",message="must start with https://, because the token is only sent over verified TLS"
	// +kubebuilder:validation:XValidation:rule="!self.matches('^https://[^/?#]*@')",message="must not carry user info; credentials belong into the Secret"
	// +kubebuilder:validation:XValidation:rule="!self.contains('?') && !self.contains('#')",message="must not have a query or a fragment"
	// +kubebuilder:validation:XValidation:rule="!self.startsWith('https://') || self.matches('^https://[^/?#]*(/[A-Za-z0-9._~-]+)*/?([?#]|$)')",message="the path may hold letters, digits and . _ ~ - between single slashes only"
	// +kubebuilder:validation:XValidation:rule="!self.matches('^https://[^?#]*/[.]{1,2}([/?#]|$)')",message="the path must not have . or .. segments"
	// +kubebuilder:validation:XValidation:rule="!self.startsWith('https://') || self.matches('^https://[^/?#]*@') || self.matches('^https://([[][^]/?#]*[]]|[^]/?#:@[]*)(:[^/?#:@]*)?([/?#]|$)') && [self.find('^https://([[][^]]*[]]|[^/?#:]*)').substring(8)].all(h, h.startsWith('[') ? isIP(h.substring(1, size(h) - 1)) && ip(h.substring(1, size(h) - 1)).family() == 6 : isIP(h) || size(h) <= 253 && h.matches('^[A-Za-z0-9]([-A-Za-z0-9]*[A-Za-z0-9])?([.][A-Za-z0-9]([-A-Za-z0-9]*[A-Za-z0-9])?)*$') && !h.matches('(^|[.])([0-9]+|0[xX][0-9A-Fa-f]*)$'))",message="the host must be a DNS name, an IPv4 address or an IPv6 address in brackets, as in https://api.example.com:6443"
	// +kubebuilder:validation:XValidation:rule="!self.matches('^https://([[][^]/?#]*[]]|[^]/?#:@[]*)(:[^/?#:@]*)?([/?#]|$)') || self.matches('^https://([[][^]/?#]*[]]|[^]/?#:@[]*)(:([1-9][0-9]{0,3}|[1-5][0-9]{4}|6[0-4][0-9]{3}|65[0-4][0-9]{2}|655[0-2][0-9]|6553[0-5]))?([/?#]|$)')",message="the port must be a number from 1 to 65535"
	Address string `json:"address"`

	// AddressExtensions are further addresses, by the names that the class gives
	// them. The class k8s has none.
	// +optional
	// +listType=map
	// +listMapKey=name
	// +kubebuilder:validation:MaxItems=16
	AddressExtensions []AddressExtension `json:"addressExtensions,omitempty"`

	// Auth says how to authenticate.
	// +optional
	Auth *ConnectorAuth `json:"auth,omitempty"`

	// Params are parameters that the class defines.
	// +optional
	// +listType=map
	// +listMapKey=name
	// +kubebuilder:validation:MaxItems=64
	Params []Param `json:"params,omitempty"`

	// CACertSecretRef names a Secret of the Connector's namespace with
	// certificates in PEM under ca.crt or any key that ends in .crt or .pem. They
	// are trusted besides the system's roots and the ca.crt beside the token.
	// +optional
	CACertSecretRef *corev1.ObjectReference `json:"caCertSecretRef,omitempty"`
}

// AddressExtension is a named address.
type AddressExtension struct {
	// Name of the address, as the class defines it.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	Name string `json:"name"`
	// Value is an http or https URL.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=1024
	// +kubebuilder:validation:XValidation:rule="isURL(self) && url(self).getScheme() in ['http', 'https'] && url(self).getHostname() != ''",message="must be an http or https URL, as in https://api.example.com"
	// +kubebuilder:validation:XValidation:rule="!self.matches('^[^/?#]*//[^/?#]*@')",message="must not carry user info; credentials belong into the Secret"
	Value string `json:"value"`
}

// ConnectorAuth says how to authenticate at the target.
type ConnectorAuth struct {
	// Name is one of the class's auth types: bearerTokenAuth for the class k8s.
	// It can be left out if the class has only one.
	// +optional
	// +kubebuilder:validation:MaxLength=253
	Name string `json:"name,omitempty"`
	// SecretRef names the Secret of the Connector's namespace with the token.
	// Only its name is used; a namespace must be the Connector's own.
	// +optional
	SecretRef *corev1.ObjectReference `json:"secretRef,omitempty"`
	// Params are parameters that the auth type defines.
	// +optional
	// +listType=map
	// +listMapKey=name
	// +kubebuilder:validation:MaxItems=64
	Params []Param `json:"params,omitempty"`
}

// Param is the value of a parameter.
type Param struct {
	// Name of the parameter.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	Name string `json:"name"`
	// Value of the parameter.
	// +kubebuilder:validation:MaxLength=4096
	Value string `json:"value"`
}

// ConnectorStatus is what the controller found out.
type ConnectorStatus struct {
	// ObservedGeneration is the generation of the spec that the conditions speak
	// of.
	// +optional
	ObservedGeneration int64 `json:"observedGeneration,omitempty"`
	// Conditions say whether the Connector works, and if not, why. See the
	// Condition constants.
	// +optional
	// +listType=map
	// +listMapKey=type
	// +kubebuilder:validation:items:XPreserveUnknownFields
	Conditions []metav1.Condition `json:"conditions,omitempty"`
	// Proxy is where a Pod that uses the Connector finds its proxy; absent if the
	// sidecar cannot serve it.
	// +optional
	Proxy *ConnectorProxy `json:"proxy,omitempty"`
	// Target is what the target said of itself.
	// +optional
	Target *ConnectorTarget `json:"target,omitempty"`
	// User is the name by which the target knows the owner of the token, if it
	// answers the auth probe with a SelfSubjectReview.
	// +optional
	User string `json:"user,omitempty"`
	// TokenExpirationTime is when the token ends, if it says so itself, as JSON Web
	// Tokens do (RFC 7519, exp).
	// +optional
	TokenExpirationTime *metav1.Time `json:"tokenExpirationTime,omitempty"`
	// LastProbeTime is when the target was last asked, as of the last write of the
	// status: it is written with every change, and if there is none every 12 hours.
	// +optional
	LastProbeTime *metav1.Time `json:"lastProbeTime,omitempty"`
	// Consumers are the Pods that use the Connector. They are counted at most once
	// in 30 seconds.
	// +optional
	Consumers *ConnectorConsumers `json:"consumers,omitempty"`
}

// ConnectorTarget is what a target said of itself.
type ConnectorTarget struct {
	// Version is the version of a Kubernetes API server, as in v1.36.3.
	// +optional
	Version string `json:"version,omitempty"`
}

// ConnectorConsumers are the Pods that use a Connector and have not ended.
type ConnectorConsumers struct {
	// Pods is how many there are.
	Pods int32 `json:"pods"`
	// Outdated is how many of them were injected at an older generation of the
	// Connector. Some of what has changed since reaches them only if they are made
	// anew.
	Outdated int32 `json:"outdated"`
}

// ConnectorProxy is where the proxy of a Connector is.
type ConnectorProxy struct {
	// HTTPAddress is the address of the HTTP proxy.
	// +optional
	// +kubebuilder:pruning:PreserveUnknownFields
	HTTPAddress *ProxyAddress `json:"httpAddress,omitempty"`
}

// ProxyAddress is the address of a proxy.
type ProxyAddress struct {
	// URL of the proxy, without credentials, as seen from inside the Pod.
	URL string `json:"url"`
}
