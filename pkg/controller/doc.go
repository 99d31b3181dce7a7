// Package controller finds out whether each Connector works, says so in its
// status, and writes the ConfigMap that carries its address and certificates to
// the sidecars of running Pods.
//
// A reconcile asks one check per condition, in order, each in a file of its own
// (check_*.go), and sums them up as Ready. Probes of targets run beside the
// reconciles (prober.go), so that a slow target holds nothing up.
//
// Tokens stay in memory for as long as a reconcile or a probe takes. Secrets are
// cached as names and labels only.
package controller
