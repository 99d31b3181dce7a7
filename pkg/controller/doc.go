// Package controller finds out whether each Connector works, says so in its
// status, and writes the ConfigMap that carries its address and certificates to
// the sidecars of running Pods.
//
// A reconcile asks one check per condition, in order, each in a file of its own
// (check_*.go), and sums them up as Ready. Probes of targets run beside the
// reconciles (prober.go), so that a slow target holds nothing up.
//
// In steady state it asks the API server for nothing. Connectors come from the
// cache; a status is applied to the version that was looked at, and a look waits
// until the cache has what was written last, so that a cache that is behind makes
// for no second write and hides no change back. Secrets and ConfigMaps are followed
// and not cached (cache.go): the data of Secrets that Connectors name, tokens
// included, is held for as long as they do (secrets.go), and of each ConfigMap a hash
// (connections.go).
package controller
