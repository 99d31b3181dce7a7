package cluster

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
)

// packages are Debian's, each with what it is for.
var packages = []struct{ name, use string }{
	{"containerd", "runs the Pods' containers"},
	{"runc", "starts them"},
	{"containernetworking-plugins", "connects Pods to the network"},
	{"iptables", "kube-proxy's rules"},
	{"iproute2", "network namespaces"},
	{"busybox-static", "the toolbox image"},
	{"gcc", "tests with the race detector"},
	{"libc6-dev", "tests with the race detector"},
}

// checkRoot fails unless this process may do all that an instance needs.
func checkRoot() error {
	if os.Geteuid() != 0 {
		return errors.New("namespaces, mounts and cgroups need root; run this as root")
	}
	return nil
}

// prepareMachine makes sure that the machine has what the node needs, and
// installs what is missing.
func prepareMachine(ctx context.Context, progress io.Writer) error {
	if _, _, err := cgroupRoots(); err != nil {
		return err
	}
	missing, err := missingPackages(ctx)
	if err != nil || len(missing) == 0 {
		return err
	}
	fmt.Fprintf(progress, "installing Debian packages %s\n", strings.Join(missing, ", "))
	if _, err = tool(ctx, "apt-get", "update"); err == nil {
		_, err = tool(ctx, "apt-get", append([]string{"install", "--yes", "--no-install-recommends"}, missing...)...)
	}
	if err != nil {
		return missingError(missing, err)
	}
	return nil
}

func missingError(missing []string, cause error) error {
	var b strings.Builder
	for _, p := range packages {
		for _, name := range missing {
			if p.name == name {
				fmt.Fprintf(&b, "\n  %s (%s)", p.name, p.use)
			}
		}
	}
	return fmt.Errorf("these Debian packages are missing:%s\nand installing them failed: %w\nrun: apt-get update && apt-get install %s",
		b.String(), cause, strings.Join(missing, " "))
}

func missingPackages(ctx context.Context) ([]string, error) {
	if _, err := lookTool("dpkg-query"); err != nil {
		return nil, fmt.Errorf("the cluster needs Debian 12 or newer: %w", err)
	}
	// One call without names: asking for a package that dpkg has never heard
	// of is an error, which would hide the answer about the others.
	listed, err := tool(ctx, "dpkg-query", "--show", "--showformat=${Package} ${db:Status-Status}\n")
	if err != nil {
		return nil, err
	}
	return missingFrom(listed), nil
}

// missingFrom compares packages with lines of "NAME STATUS".
func missingFrom(listed string) []string {
	installed := map[string]bool{}
	for line := range strings.Lines(listed) {
		if fields := strings.Fields(line); len(fields) == 2 && fields[1] == "installed" {
			installed[fields[0]] = true
		}
	}
	var missing []string
	for _, p := range packages {
		if !installed[p.name] {
			missing = append(missing, p.name)
		}
	}
	return missing
}
