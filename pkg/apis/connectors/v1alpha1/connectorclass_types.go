package v1alpha1

import (
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// ConnectorClass says what a kind of target is: what its Connectors must have,
// which ways to authenticate there are, and how to find out whether a target is
// alive and accepts them.
//
// +kubebuilder:object:root=true
// +kubebuilder:subresource:status
// +kubebuilder:resource:scope=Cluster
// +kubebuilder:printcolumn:name="Ready",type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].status`
// +kubebuilder:printcolumn:name="Reason",type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].reason`
// +kubebuilder:printcolumn:name="Connectors",type=integer,JSONPath=`.status.connectors`
// +kubebuilder:printcolumn:name="Message",type=string,priority=1,JSONPath=`.status.conditions[?(@.type=="Ready")].message`
// +kubebuilder:printcolumn:name="Age",type=date,JSONPath=`.metadata.creationTimestamp`
type ConnectorClass struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata,omitempty"`

	// Spec is what the class is.
	Spec ConnectorClassSpec `json:"spec"`
	// Status is what the controller made of it. Fields of the published API that
	// are not here are accepted and mean nothing.
	// +optional
	// +kubebuilder:pruning:PreserveUnknownFields
	Status ConnectorClassStatus `json:"status,omitempty"`
}

// ConnectorClassList is a list of ConnectorClasses.
//
// +kubebuilder:object:root=true
type ConnectorClassList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`
	// Items are the ConnectorClasses.
	Items []ConnectorClass `json:"items"`
}

// ConnectorClassSpec is what a class is.
//
// +kubebuilder:validation:XValidation:rule="!has(self.authProbes) || self.authProbes.all(p, has(self.auth) && has(self.auth.types) && self.auth.types.exists(t, t.name == p.authName))",message="authName must be the name of one of spec.auth.types",fieldPath=".authProbes"
type ConnectorClassSpec struct {
	// Address says what spec.address of a Connector is.
	// +optional
	Address *AddressSpec `json:"address,omitempty"`
	// AddressExtensions are the further addresses that a Connector has; one without
	// a default must be given.
	// +optional
	// +listType=map
	// +listMapKey=name
	// +kubebuilder:validation:MaxItems=16
	AddressExtensions []ParamSpec `json:"addressExtensions,omitempty"`
	// Params are the parameters that a Connector has; one without a default must be
	// given.
	// +optional
	// +listType=map
	// +listMapKey=name
	// +kubebuilder:validation:MaxItems=64
	Params []ParamSpec `json:"params,omitempty"`
	// Auth says how Connectors authenticate.
	// +optional
	Auth *ClassAuth `json:"auth,omitempty"`
	// LivenessProbe finds out whether a target is alive. Without it every target
	// counts as alive.
	// +optional
	LivenessProbe *Probe `json:"livenessProbe,omitempty"`
	// AuthProbes find out whether a target accepts what a Connector authenticates
	// with. An auth type without one counts as accepted.
	// +optional
	// +listType=map
	// +listMapKey=authName
	// +kubebuilder:validation:MaxItems=16
	AuthProbes []AuthProbe `json:"authProbes,omitempty"`
	// Configurations are files for Pods. They are validated; the only file that
	// Pods get so far is the kubeconfig, of whatever class the Connector is.
	// +optional
	// +listType=map
	// +listMapKey=name
	// +kubebuilder:validation:MaxItems=32
	// +kubebuilder:validation:XValidation:rule="self.map(c, has(c.data) ? c.data.map(k, size(k) + size(c.data[k])).sum() : 0).sum() <= 262144",message="the data of all configurations together must not have more than 262144 characters, because a class must fit into etcd"
	Configurations []Configuration `json:"configurations,omitempty"`
	// Proxy is where the shared proxy of the class is. It is accepted so that
	// published classes apply, and not used: the proxy is the sidecar in the Pod.
	// +optional
	// +kubebuilder:pruning:PreserveUnknownFields
	// +kubebuilder:validation:Type=object
	// +kubebuilder:validation:Schemaless
	Proxy *apiextensionsv1.JSON `json:"proxy,omitempty"`
	// API is where further calls about targets of the class are answered. It is
	// accepted so that published classes apply, and not used.
	// +optional
	// +kubebuilder:pruning:PreserveUnknownFields
	// +kubebuilder:validation:Type=object
	// +kubebuilder:validation:Schemaless
	API *apiextensionsv1.JSON `json:"api,omitempty"`
}

// ParamType is the type of a parameter.
type ParamType string

// ParamTypeString is the type that parameters have. The published API knows
// array and object too and uses neither: a class with one of these is not Ready.
const ParamTypeString ParamType = "string"

// AddressSpec says what an address is.
type AddressSpec struct {
	// Name of the address; it means nothing.
	// +optional
	// +kubebuilder:validation:MaxLength=253
	Name             string `json:"name,omitempty"`
	ParamConstraints `json:",inline"`
}

// ParamSpec says what a parameter is.
type ParamSpec struct {
	// Name of the parameter.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	Name             string `json:"name"`
	ParamConstraints `json:",inline"`
}

// ParamConstraints say which values a parameter may have.
//
// +kubebuilder:validation:XValidation:rule="!has(self.default) || !has(self.enum) || size(self.enum) == 0 || self.default in self.enum",message="must be one of the values in enum",fieldPath=".default"
type ParamConstraints struct {
	// Type of the value: string, which is also what it is if nothing is said.
	// +optional
	// +kubebuilder:validation:Enum=string;array;object
	Type ParamType `json:"type,omitempty"`
	// Default is the value if a Connector gives none. Without it the parameter is
	// required.
	// +optional
	// +kubebuilder:validation:Schemaless
	// +kubebuilder:validation:Type=string
	// +kubebuilder:validation:MaxLength=4096
	Default *apiextensionsv1.JSON `json:"default,omitempty"`
	// Enum are the values that are allowed. If there are none, all are.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=64
	// +kubebuilder:validation:items:MaxLength=253
	Enum []string `json:"enum,omitempty"`
	// Description for people.
	// +optional
	// +kubebuilder:validation:MaxLength=4096
	Description string `json:"description,omitempty"`
	// Properties describe the keys of an object.
	// +optional
	Properties map[string]PropertySpec `json:"properties,omitempty"`
	// Annotations are for other programs.
	// +optional
	Annotations map[string]string `json:"annotations,omitempty"`
}

// PropertySpec describes a key of an object.
type PropertySpec struct {
	// Type of the value.
	// +optional
	Type ParamType `json:"type,omitempty"`
}

// ClassAuth says how Connectors of a class authenticate.
type ClassAuth struct {
	// Types are the ways to authenticate.
	// +optional
	// +listType=map
	// +listMapKey=name
	// +kubebuilder:validation:MaxItems=16
	Types []AuthType `json:"types,omitempty"`
}

// AuthType is one way to authenticate.
type AuthType struct {
	// Name that spec.auth.name of a Connector refers to.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	Name string `json:"name"`
	// SecretType is the type that the Secret must have. Without it any will do.
	// +optional
	// +kubebuilder:validation:MaxLength=253
	SecretType string `json:"secretType,omitempty"`
	// Optional says that a Connector may leave the Secret out.
	// +optional
	Optional bool `json:"optional,omitempty"`
	// Params are the keys that the Secret must have. Without them they are those
	// that are usual for the type.
	// +optional
	// +listType=map
	// +listMapKey=name
	// +kubebuilder:validation:MaxItems=32
	Params []ParamSpec `json:"params,omitempty"`
	// DisplayName for people.
	// +optional
	// +kubebuilder:validation:MaxLength=253
	DisplayName string `json:"displayName,omitempty"`
	// Description for people.
	// +optional
	// +kubebuilder:validation:MaxLength=4096
	Description string `json:"description,omitempty"`
	// Generator makes what authenticates out of the Secret. It is accepted so that
	// published classes apply; the sidecar cannot serve Connectors of an auth type
	// that has one.
	// +optional
	Generator *AuthGenerator `json:"generator,omitempty"`
	// Annotations are for other programs.
	// +optional
	Annotations map[string]string `json:"annotations,omitempty"`
}

// AuthGenerator makes what authenticates out of a Secret.
type AuthGenerator struct {
	// Rego is a program that does so.
	// +optional
	// +kubebuilder:validation:MaxLength=65536
	Rego string `json:"rego,omitempty"`
}

// Probe is a question to a target. The zero Probe asks nothing.
type Probe struct {
	// HTTP asks by an HTTP request.
	// +optional
	HTTP *HTTPProbe `json:"http,omitempty"`
	// API asks by the class's API, which this version cannot do: a class with it is
	// not Ready.
	// +optional
	API *APIProbe `json:"api,omitempty"`
}

// AuthProbe is the probe of one auth type.
type AuthProbe struct {
	// AuthName is the name of the auth type.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	AuthName string `json:"authName"`
	// Params are the parameters in spec.auth.params of a Connector that the probe
	// uses; one without a default must be given.
	// +optional
	// +listType=map
	// +listMapKey=name
	// +kubebuilder:validation:MaxItems=32
	Params []ParamSpec `json:"params,omitempty"`
	// Probe is the question.
	// +optional
	Probe *Probe `json:"probe,omitempty"`
}

// HTTPProbe is an HTTP request and what the answer must be. Path and values of
// headers are Go templates of .Connector and, in an auth probe, .Secret. The
// request goes to the Connector's address and nowhere else, and redirects are
// never followed.
type HTTPProbe struct {
	// Path with its query: it begins with a slash, and the path of the Connector's
	// address is not put before it.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=4096
	// +kubebuilder:validation:XValidation:rule="self.startsWith('/') || self.startsWith('{{')",message="must begin with / or with a template, as in /livez or {{ .Connector.Spec.Address }}"
	Path string `json:"path"`
	// Method is GET, the default, or POST, which has no body.
	// +optional
	// +kubebuilder:validation:Enum=GET;POST
	Method string `json:"method,omitempty"`
	// HTTPHeaders are the headers of the request.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=32
	HTTPHeaders []HTTPHeader `json:"httpHeaders,omitempty"`
	// Response says which answers are good. Without it those with a status from 200
	// to 299 are.
	// +optional
	Response *HTTPResponse `json:"response,omitempty"`
	// DisableRedirect is accepted so that published classes apply: no redirect is
	// followed, whatever it says.
	// +optional
	DisableRedirect bool `json:"disableRedirect,omitempty"`
	// Host is another host than the Connector's. A class with it is not Ready: what
	// a Connector authenticates with goes to its own address only.
	// +optional
	// +kubebuilder:validation:MaxLength=253
	Host string `json:"host,omitempty"`
	// Scheme is https. A class with http is not Ready.
	// +optional
	// +kubebuilder:validation:Enum=http;https
	Scheme string `json:"scheme,omitempty"`
}

// HTTPHeader is one header.
type HTTPHeader struct {
	// Name of the header.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	// +kubebuilder:validation:XValidation:rule="self.matches('^[-!#$%&\\x27*+.^_\\x60|~0-9A-Za-z]+$')",message="must be the name of a header, of letters, digits and -, as in Authorization"
	Name string `json:"name"`
	// Value of the header, a Go template.
	// +kubebuilder:validation:MaxLength=4096
	Value string `json:"value"`
}

// HTTPResponse says which answers are good.
type HTTPResponse struct {
	// CEL is an expression that is true of a good answer. It knows
	// response.statusCode, response.headers (lists of values by names in lower
	// case), response.body (the body as JSON, null if it is none) and
	// response.bodyString.
	// +optional
	// +kubebuilder:validation:MaxLength=4096
	CEL string `json:"cel,omitempty"`
}

// APIProbe asks by the API of a class.
type APIProbe struct {
	// Path of the call.
	// +optional
	// +kubebuilder:validation:MaxLength=4096
	Path string `json:"path,omitempty"`
}

// Configuration is a set of files for Pods.
type Configuration struct {
	// Name by which Pods ask for it.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	Name string `json:"name"`
	// Params are the parameters that Pods give; one without a default must be given.
	// +optional
	// +listType=map
	// +listMapKey=name
	// +kubebuilder:validation:MaxItems=32
	Params []ParamSpec `json:"params,omitempty"`
	// Data are the files by their names. Each is a Go template.
	// +optional
	// +kubebuilder:validation:MaxProperties=32
	// +kubebuilder:validation:XValidation:rule="self.all(k, size(k) <= 253 && k.matches('^[-._a-zA-Z0-9]+$') && k != '.' && !k.startsWith('..'))",message="names of files have at most 253 letters, digits and . _ -, and do not begin with .."
	Data map[string]string `json:"data,omitempty"`
	// Annotations are for other programs.
	// +optional
	Annotations map[string]string `json:"annotations,omitempty"`
}

// ConnectorClassStatus is what the controller made of a class.
type ConnectorClassStatus struct {
	// ObservedGeneration is the generation of the spec that the conditions speak
	// of.
	// +optional
	ObservedGeneration int64 `json:"observedGeneration,omitempty"`
	// Conditions has Ready: whether everything in the spec is valid and can be done.
	// +optional
	// +listType=map
	// +listMapKey=type
	// +kubebuilder:validation:items:XPreserveUnknownFields
	Conditions []metav1.Condition `json:"conditions,omitempty"`
	// Connectors is how many Connectors are of this class, counted at most once in
	// 30 seconds.
	// +optional
	Connectors int32 `json:"connectors,omitempty"`
}

// AuthType is the auth type that a Connector means by a name in spec.auth.name. No
// name means the only one there is. It is nil if there is no such type.
func (s *ConnectorClassSpec) AuthType(name string) *AuthType {
	if s.Auth == nil {
		return nil
	}
	for i := range s.Auth.Types {
		if t := &s.Auth.Types[i]; t.Name == name || name == "" && len(s.Auth.Types) == 1 {
			return t
		}
	}
	return nil
}
