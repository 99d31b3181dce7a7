package cluster

import (
	"fmt"
	"maps"
	"net/netip"
	"path/filepath"
	"slices"
	"strings"
)

const (
	dataRoot = "/var/lib/kube-connector"
	runRoot  = "/run/kube-connector"

	// marker is in the environment of every process that an instance starts,
	// with the instance's name: the surest evidence of whose it is.
	marker = "KUBE_CONNECTOR_CLUSTER"

	// podNetwork and serviceNetwork exist inside the home network namespace
	// only, so all instances use the same.
	podNetwork     = "10.244.0.0/16"
	serviceNetwork = "10.96.0.0/16"
	firstServiceIP = "10.96.0.1"

	apiPort = "6443"
)

// networks are the instances there can be, each with the network that joins it
// with the machine. The first two are reserved for documentation (RFC 5737), the
// others for benchmarks (RFC 2544): nobody's real network is shadowed.
var networks = map[string]netip.Prefix{
	"demo":     netip.MustParsePrefix("198.51.100.0/24"),
	"test":     netip.MustParsePrefix("203.0.113.0/24"),
	"selftest": netip.MustParsePrefix("198.18.0.0/24"),
	"install":  netip.MustParsePrefix("198.18.1.0/24"),
}

// instance derives every name, address and path of an instance from its name.
type instance struct {
	name    string
	network netip.Prefix
}

func newInstance(name string) (instance, error) {
	network, ok := networks[name]
	if !ok {
		return instance{}, fmt.Errorf("there is no cluster instance %q; use one of %s",
			name, strings.Join(slices.Sorted(maps.Keys(networks)), ", "))
	}
	return instance{name: name, network: network}, nil
}

// machineIP, homeIP and targetIP are the addresses of the machine and of both
// clusters in the instance's network.
func (i instance) machineIP() netip.Addr { return i.network.Addr().Next() }
func (i instance) homeIP() netip.Addr    { return i.machineIP().Next() }
func (i instance) targetIP() netip.Addr  { return i.homeIP().Next() }

// withBits adds the length of the instance's network to an address of it.
func (i instance) withBits(ip netip.Addr) string {
	return netip.PrefixFrom(ip, i.network.Bits()).String()
}

// link is the machine's interface to the instance; at most 15 characters.
func (i instance) link() string     { return "kc-" + i.name }
func (i instance) homeNet() string  { return "kc-" + i.name + "-home" }
func (i instance) tgtNet() string   { return "kc-" + i.name + "-target" }
func (i instance) nodeName() string { return "kc-" + i.name + "-node" }

// cgroup is the path of the instance's cgroup in every hierarchy.
func (i instance) cgroup() string { return "/kc-" + i.name }

func (i instance) dataDir() string  { return filepath.Join(dataRoot, i.name) }
func (i instance) runDir() string   { return filepath.Join(runRoot, i.name) }
func (i instance) lockFile() string { return filepath.Join(runRoot, i.name+".lock") }
func (i instance) state() string    { return filepath.Join(i.runDir(), "instance.json") }

// nodeVar and nodeRun are what the node sees as /var and /run.
func (i instance) nodeVar() string { return filepath.Join(i.dataDir(), "node") }
func (i instance) nodeRun() string { return filepath.Join(i.runDir(), "node") }

func (i instance) logFile(process string) string {
	return filepath.Join(i.dataDir(), "log", process+".log")
}

// netnsFile is where iproute2 keeps a named network namespace.
func netnsFile(name string) string { return filepath.Join("/run/netns", name) }
