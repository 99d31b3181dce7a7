// Package cluster brings up two real Kubernetes clusters on one Debian machine,
// as root, without Docker and without an image registry: "home", a control
// plane and a node that runs Pods, where Kubernetes Connector is installed; and
// "target", a control plane that Connectors point at. Tests and the demo run on
// it.
//
// # What is where
//
// An instance has a name, so that a person's "demo" and the tests' "test" can
// be up at once. Its parts are its own:
//
//   - network namespaces kc-NAME-home and kc-NAME-target, joined with the
//     machine by one interface, kc-NAME. The machine is .1 of a network from
//     the ranges for documentation and benchmarks, home is .2, target .3; both
//     API servers listen on port 6443;
//   - /var/lib/kube-connector/NAME: data, credentials, and log/PROCESS.log;
//   - /run/kube-connector/NAME: sockets and state;
//   - the cgroup /kc-NAME.
//
// The node (containerd, kubelet, kube-proxy) also has a mount namespace of its
// own, in which /var and /run are directories of the instance. There it finds
// the usual paths, /var/lib/kubelet and /run/containerd, and no other instance,
// nor a containerd of the machine's, has any business there. All that is
// mounted for Pods is mounted in that namespace and goes with its last process.
//
// There is no route from the clusters to anywhere else, and no DNS in Pods.
//
// The processes outlive the program that started them. Down finds them, and
// everything else, by evidence on the machine and not by a list that somebody
// would have had to keep, so it also cleans up after an Up that was killed.
package cluster
