// Package inject plans what a Pod needs to use Connectors: a Pod, its
// Connectors and the operator's options go in, JSON-patch operations (RFC 6902)
// and warnings come out. It has no client, no clock and no I/O, so the same
// input gives the same bytes.
//
// The patch is built by hand and only adds, but for two things that it replaces:
// the source of a csi volume that asks for Connectors, and, for in-cluster
// clients, which volume is mounted where they look. A diff of the Pod against its
// decoded self would remove every field that this package's API types do not
// know yet.
package inject
