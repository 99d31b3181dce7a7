// Package connector holds the rules about Connectors that need no I/O and no
// Kubernetes library: how an address and a reference are written, and which
// kinds of Secret carry a token. The sidecar imports it, so it must stay free
// of k8s.io packages.
package connector
