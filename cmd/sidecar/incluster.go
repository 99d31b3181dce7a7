package main

import (
	"fmt"
	"path/filepath"

	"github.com/kube-connector/kube-connector/internal/atomicfile"
	"github.com/kube-connector/kube-connector/pkg/ambassador"
)

// inClusterMode lets app containers of any UID read the files.
const inClusterMode = 0o444

// checkInCluster is what of check concerns clients that use no kubeconfig.
func (o *options) checkInCluster() error {
	switch {
	case o.inClusterPort == 0:
		return nil
	case o.inClusterPort > 65535:
		return fmt.Errorf("--in-cluster-port=%d: must be from 1 to 65535, or 0 for none", o.inClusterPort)
	case o.inClusterPort == o.proxyPort || o.inClusterPort == o.localhostPort || o.inClusterPort == o.metricsPort:
		return fmt.Errorf("--in-cluster-port=%d: is another port of the sidecar, too; give each its own", o.inClusterPort)
	case len(o.connectors) > 1:
		return fmt.Errorf("--in-cluster-port=%d: in-cluster clients know one API server only; serve one connector, not %d", o.inClusterPort, len(o.connectors))
	case !isDir(o.inClusterDir):
		return fmt.Errorf("--in-cluster-dir=%s: is not a directory; make it, or mount a volume there", o.inClusterDir)
	}
	return nil
}

// writeInCluster puts the files of in-cluster clients into their place: those
// that a Pod has of its ServiceAccount.
func writeInCluster(o options, identity *ambassador.Identity) error {
	if o.inClusterPort == 0 {
		return nil
	}
	for name, content := range map[string][]byte{
		"token":  []byte(identity.Token()),
		"ca.crt": identity.CA(),
		// Where clients look if they are not told. A Pod uses Connectors of its
		// own namespace only.
		"namespace": []byte(o.connectors[0].reference.Namespace),
	} {
		if err := atomicfile.Write(filepath.Join(o.inClusterDir, name), content, inClusterMode); err != nil {
			return err
		}
	}
	return nil
}
