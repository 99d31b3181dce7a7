// Package webhook serves the admission of Pods: it looks the Connectors up that
// a Pod names, has package inject plan the patch, and answers. It also keeps its
// own serving certificate and the trust in it.
package webhook
