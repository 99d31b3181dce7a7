package cluster

import (
	"context"
	"net/netip"
	"path/filepath"
	"time"
)

// readyTimeout is how long a part may take to get ready. It takes a fifth of it
// on a machine with two cores; a busy one may need longer.
const readyTimeout = 90 * time.Second

// controlPlane is what makes the two control planes differ.
type controlPlane struct {
	instance instance
	// name is "home" or "target".
	name string
	// netns and ip are where it runs.
	netns string
	ip    netip.Addr
	// binaries is the directory of the programs.
	binaries string
}

func (c controlPlane) dir() string             { return filepath.Join(c.instance.dataDir(), c.name) }
func (c controlPlane) file(name string) string { return filepath.Join(c.dir(), name) }
func (c controlPlane) address() string         { return "https://" + c.ip.String() + ":" + apiPort }

// writeCredentials makes the cluster's authority and every certificate and
// kubeconfig of the control plane.
func (c controlPlane) writeCredentials() (*authority, error) {
	ca, err := newAuthority("kube-connector-" + c.instance.name + "-" + c.name)
	if err != nil {
		return nil, err
	}
	pair, err := ca.pair()
	if err != nil {
		return nil, err
	}
	if err := pair.write(c.dir(), "ca"); err != nil {
		return nil, err
	}
	if err := writeTokenKey(c.dir()); err != nil {
		return nil, err
	}
	for name, id := range map[string]identity{
		"apiserver": {
			user:      "kube-apiserver",
			names:     []string{"kubernetes", "kubernetes.default", "kubernetes.default.svc", "localhost"},
			addresses: []netip.Addr{c.ip, netip.MustParseAddr(firstServiceIP), netip.MustParseAddr("127.0.0.1")},
		},
		// Whom the kubelet takes the API server for, when that fetches logs.
		"kubelet-client": {user: "kube-apiserver-kubelet-client", groups: []string{"system:masters"}},
	} {
		pair, err := ca.issue(id)
		if err != nil {
			return nil, err
		}
		if err := pair.write(c.dir(), name); err != nil {
			return nil, err
		}
	}
	for name, id := range map[string]identity{
		"admin":              {user: "admin", groups: []string{"system:masters"}},
		"controller-manager": {user: "system:kube-controller-manager"},
		"scheduler":          {user: "system:kube-scheduler"},
	} {
		if err := c.writeKubeconfig(ca, c.file(name+".kubeconfig"), id); err != nil {
			return nil, err
		}
	}
	return ca, nil
}

// writeKubeconfig writes a kubeconfig with a new certificate for id.
func (c controlPlane) writeKubeconfig(ca *authority, path string, id identity) error {
	pair, err := ca.pair()
	if err != nil {
		return err
	}
	client, err := ca.issue(id)
	if err != nil {
		return err
	}
	return writeKubeconfig(path, c.name, c.address(), pair.cert, client)
}

// start starts one program of the control plane.
func (c controlPlane) start(program string, args []string) (*process, error) {
	p, err := newProcess(c.instance, c.name+"-"+program)
	if err != nil {
		return nil, err
	}
	return p, inNet(c.netns, func() error { return p.start(filepath.Join(c.binaries, program), args...) })
}

// startAPI starts etcd and the API server, and returns when that is ready.
func (c controlPlane) startAPI(ctx context.Context) (*API, *process, error) {
	if err := writeFiles(c.dir(), map[string][]byte{auditPolicyFile: []byte(auditPolicy)}); err != nil {
		return nil, nil, err
	}
	// The API server tries etcd again by itself, so neither waits for the other.
	etcd, err := c.start("etcd", c.etcdArgs())
	if err != nil {
		return nil, nil, err
	}
	server, err := c.startServer()
	if err != nil {
		return nil, nil, err
	}
	api, err := openAPI(adminKubeconfig(c.instance, c.name))
	if err != nil {
		return nil, nil, err
	}
	err = server.await(ctx, readyTimeout, func(ctx context.Context) error {
		select {
		case <-etcd.ended:
			// Without etcd the API server only says that it cannot connect.
			return nil
		default:
			return api.ready(ctx)
		}
	})
	if err == nil {
		err = etcd.await(ctx, readyTimeout, api.ready)
	}
	return api, server, err
}

// startServer starts the API server.
func (c controlPlane) startServer() (*process, error) {
	return c.start("kube-apiserver", c.apiServerArgs())
}

func (c controlPlane) etcdArgs() []string {
	// Listens inside the network namespace only, where nothing runs but the
	// control plane and Pods with hostNetwork.
	const client, peer = "http://127.0.0.1:2379", "http://127.0.0.1:2380"
	return []string{
		"--name=" + c.name,
		"--data-dir=" + c.file("etcd"),
		"--listen-client-urls=" + client,
		"--advertise-client-urls=" + client,
		"--listen-peer-urls=" + peer,
		"--initial-advertise-peer-urls=" + peer,
		"--initial-cluster=" + c.name + "=" + peer,
		// The data need not survive the machine.
		"--unsafe-no-fsync",
		"--log-level=warn",
	}
}

func (c controlPlane) apiServerArgs() []string {
	return []string{
		"--etcd-servers=http://127.0.0.1:2379",
		"--advertise-address=" + c.ip.String(),
		"--secure-port=" + apiPort,
		"--tls-cert-file=" + c.file("apiserver.crt"),
		"--tls-private-key-file=" + c.file("apiserver.key"),
		"--client-ca-file=" + c.file("ca.crt"),
		"--authorization-mode=Node,RBAC",
		"--enable-admission-plugins=NodeRestriction",
		"--allow-privileged=true",
		"--service-cluster-ip-range=" + serviceNetwork,
		"--service-account-issuer=https://kubernetes.default.svc",
		"--service-account-key-file=" + c.file("sa.key"),
		"--service-account-signing-key-file=" + c.file("sa.key"),
		"--kubelet-certificate-authority=" + c.file("ca.crt"),
		"--kubelet-client-certificate=" + c.file("kubelet-client.crt"),
		"--kubelet-client-key=" + c.file("kubelet-client.key"),
		// The node's name cannot be looked up anywhere.
		"--kubelet-preferred-address-types=InternalIP",
		"--audit-policy-file=" + c.file(auditPolicyFile),
		"--audit-log-path=" + c.auditLog(),
	}
}

// startControllers starts the controller manager.
func (c controlPlane) startControllers() (*process, error) {
	return c.start("kube-controller-manager", []string{
		"--kubeconfig=" + c.file("controller-manager.kubeconfig"),
		"--authentication-kubeconfig=" + c.file("controller-manager.kubeconfig"),
		"--authorization-kubeconfig=" + c.file("controller-manager.kubeconfig"),
		"--root-ca-file=" + c.file("ca.crt"),
		"--cluster-signing-cert-file=" + c.file("ca.crt"),
		"--cluster-signing-key-file=" + c.file("ca.key"),
		"--service-account-private-key-file=" + c.file("sa.key"),
		"--use-service-account-credentials",
		"--bind-address=127.0.0.1",
		"--leader-elect=false",
	})
}

// startScheduler starts the scheduler.
func (c controlPlane) startScheduler() (*process, error) {
	return c.start("kube-scheduler", []string{
		"--kubeconfig=" + c.file("scheduler.kubeconfig"),
		"--authentication-kubeconfig=" + c.file("scheduler.kubeconfig"),
		"--authorization-kubeconfig=" + c.file("scheduler.kubeconfig"),
		"--bind-address=127.0.0.1",
		"--leader-elect=false",
	})
}
