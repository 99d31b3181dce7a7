package cluster

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
)

// Package is one of Debian's, with what it is for.
type Package struct{ Name, Use string }

// packages are what every instance needs.
var packages = []Package{
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
	return InstallPackages(ctx, progress, packages...)
}

// InstallPackages installs those of the packages that the machine lacks.
func InstallPackages(ctx context.Context, progress io.Writer, wanted ...Package) error {
	missing, err := missingPackages(ctx, wanted)
	if err != nil || len(missing) == 0 {
		return err
	}
	fmt.Fprintf(progress, "installing Debian packages %s\n", strings.Join(names(missing), ", "))
	if _, err = tool(ctx, "apt-get", "update"); err == nil {
		_, err = tool(ctx, "apt-get", append([]string{"install", "--yes", "--no-install-recommends"}, names(missing)...)...)
	}
	if err != nil {
		return missingError(missing, err)
	}
	return nil
}

func names(packages []Package) []string {
	var names []string
	for _, p := range packages {
		names = append(names, p.Name)
	}
	return names
}

func missingError(missing []Package, cause error) error {
	var b strings.Builder
	for _, p := range missing {
		fmt.Fprintf(&b, "\n  %s (%s)", p.Name, p.Use)
	}
	return fmt.Errorf("these Debian packages are missing:%s\nand installing them failed: %w\nrun: apt-get update && apt-get install %s",
		b.String(), cause, strings.Join(names(missing), " "))
}

func missingPackages(ctx context.Context, wanted []Package) ([]Package, error) {
	if _, err := lookTool("dpkg-query"); err != nil {
		return nil, fmt.Errorf("the cluster needs Debian 12 or newer: %w", err)
	}
	// One call without names: asking for a package that dpkg has never heard
	// of is an error, which would hide the answer about the others.
	listed, err := tool(ctx, "dpkg-query", "--show", "--showformat=${Package} ${db:Status-Status}\n")
	if err != nil {
		return nil, err
	}
	return missingFrom(listed, wanted), nil
}

// missingFrom compares wanted with lines of "NAME STATUS".
func missingFrom(listed string, wanted []Package) []Package {
	installed := map[string]bool{}
	for line := range strings.Lines(listed) {
		if fields := strings.Fields(line); len(fields) == 2 && fields[1] == "installed" {
			installed[fields[0]] = true
		}
	}
	var missing []Package
	for _, p := range wanted {
		if !installed[p.Name] {
			missing = append(missing, p)
		}
	}
	return missing
}
