package v1alpha1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// ConnectorClass says what a kind of target offers: which ways to
// authenticate, with which type of Secret.
//
// +kubebuilder:object:root=true
// +kubebuilder:resource:scope=Cluster
// +kubebuilder:printcolumn:name="Age",type=date,JSONPath=`.metadata.creationTimestamp`
type ConnectorClass struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata,omitempty"`

	// Spec is what the class offers.
	Spec ConnectorClassSpec `json:"spec"`
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

// ConnectorClassSpec is what a class offers.
type ConnectorClassSpec struct {
	// Address says what an address of this class is.
	// +optional
	Address *ClassAddress `json:"address,omitempty"`
	// Auth says how Connectors of this class authenticate.
	// +optional
	Auth *ClassAuth `json:"auth,omitempty"`
}

// ClassAddress says what an address of a class is.
type ClassAddress struct {
	// Type of the address; string is the only one.
	// +kubebuilder:validation:Enum=string
	Type string `json:"type"`
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
	// SecretType is the type that the Secret must have.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	SecretType string `json:"secretType"`
	// Optional says that a Connector may leave the Secret out.
	// +optional
	Optional bool `json:"optional,omitempty"`
}
