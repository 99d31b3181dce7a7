package cluster

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/netip"
	"os"
	"strings"
)

// makeNetwork makes both network namespaces and joins them with the machine:
//
//	machine             kc-NAME-target                  kc-NAME-home
//	kc-NAME (.1) ────── machine ─┐ switch (.3) ┌─ home ────── eth0 (.2)
//	                             └─────────────┘
//
// The switch is a bridge in the target's namespace rather than on the machine,
// where a firewall made for other bridges would get to see its traffic.
func makeNetwork(ctx context.Context, i instance) error {
	if err := checkNetworkIsFree(i); err != nil {
		return err
	}
	home, target := i.homeNet(), i.tgtNet()
	for _, command := range []string{
		"netns add " + home,
		"netns add " + target,
		"-n " + home + " link set lo up",
		"-n " + target + " link set lo up",

		"-n " + target + " link add switch type bridge",
		"-n " + target + " addr add " + i.withBits(i.targetIP()) + " dev switch",
		"-n " + target + " link set switch up",

		"link add " + i.link() + " type veth peer name machine netns " + target,
		"-n " + target + " link set machine master switch up",
		"addr add " + i.withBits(i.machineIP()) + " dev " + i.link(),
		"link set " + i.link() + " up",

		"-n " + home + " link add eth0 type veth peer name home netns " + target,
		"-n " + target + " link set home master switch up",
		"-n " + home + " addr add " + i.withBits(i.homeIP()) + " dev eth0",
		"-n " + home + " link set eth0 up",
		// Services have no interface. A program on the node that calls one
		// needs some route for the packet before kube-proxy's rules turn it
		// to a Pod. Nothing else leads out of here.
		"-n " + home + " route add " + serviceNetwork + " dev eth0",
	} {
		if _, err := tool(ctx, "ip", strings.Fields(command)...); err != nil {
			return fmt.Errorf("make network: %w", err)
		}
	}
	return nil
}

// checkNetworkIsFree fails if the machine has an address in the instance's
// network already. It shall not be cut off from anything by a test.
func checkNetworkIsFree(i instance) error {
	interfaces, err := net.Interfaces()
	if err != nil {
		return err
	}
	for _, link := range interfaces {
		addresses, err := link.Addrs()
		if err != nil {
			return err
		}
		for _, address := range addresses {
			if p, err := netip.ParsePrefix(address.String()); err == nil && p.Overlaps(i.network) {
				return fmt.Errorf("interface %s has the address %s, and the cluster %q needs %s for itself; take that address away or use another instance",
					link.Name, p, i.name, i.network)
			}
		}
	}
	return nil
}

// removeNetwork removes what makeNetwork made, as much of it as there is.
func removeNetwork(ctx context.Context, i instance) error {
	var errs []error
	if _, err := net.InterfaceByName(i.link()); err == nil {
		_, err := tool(ctx, "ip", "link", "del", i.link())
		errs = append(errs, err)
	}
	for _, name := range []string{i.homeNet(), i.tgtNet()} {
		if _, err := os.Lstat(netnsFile(name)); !errors.Is(err, fs.ErrNotExist) {
			_, err := tool(ctx, "ip", "netns", "del", name)
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}
