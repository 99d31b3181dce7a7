// Package v1alpha1 is version v1alpha1 of the API group connectors.alauda.io:
// the Connector, which names a cluster and the Secret with its token, and the
// ConnectorClass, which says what a kind of target offers.
//
// +kubebuilder:object:generate=true
// +groupName=connectors.alauda.io
package v1alpha1
