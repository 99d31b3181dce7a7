package cluster

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"path/filepath"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
)

// Where the node keeps its configuration, in its own /var.
const (
	kubeletDir    = "/var/lib/kubelet"
	proxyDir      = "/var/lib/kube-proxy"
	cniDir        = "/var/lib/cni/net.d"
	containerdDir = "/var/lib/containerd"

	runtimeSocket = "/run/containerd/containerd.sock"
)

// node is the home cluster's only node. It shares the control plane's network
// namespace, and so its address.
type node struct {
	controlPlane
}

// outside is where a file in the node's own /var is on the machine.
func (n node) outside(path ...string) string {
	relative, err := filepath.Rel("/var", filepath.Join(path...))
	if err != nil {
		panic(err) // both are absolute
	}
	return filepath.Join(n.instance.nodeVar(), relative)
}

// socket is the machine's path of containerd's socket.
func socket(i instance) string {
	return filepath.Join(i.nodeRun(), "containerd", "containerd.sock")
}

// writeConfig writes everything the node's programs read.
func (n node) writeConfig(ca *authority) error {
	authority, err := ca.pair()
	if err != nil {
		return err
	}
	user := "system:node:" + n.instance.nodeName()
	serving, err := ca.issue(identity{
		user: user, groups: []string{"system:nodes"},
		names: []string{n.instance.nodeName()}, addresses: []netip.Addr{n.ip},
	})
	if err != nil {
		return err
	}
	network, err := json.MarshalIndent(podNetworkConfig(n.instance), "", "  ")
	if err != nil {
		return err
	}
	kubelet, err := json.MarshalIndent(kubeletConfig(n.instance), "", "  ")
	if err != nil {
		return err
	}
	proxy, err := json.MarshalIndent(proxyConfig(n.instance), "", "  ")
	if err != nil {
		return err
	}
	return errors.Join(
		serving.write(n.outside(kubeletDir), "serving"),
		writeFiles(n.outside(kubeletDir), map[string][]byte{"ca.crt": authority.cert, "config.json": kubelet}),
		writeFiles(n.outside(proxyDir), map[string][]byte{"config.json": proxy}),
		writeFiles(n.outside(cniDir), map[string][]byte{"10-pods.conflist": network}),
		writeFiles(n.outside(containerdDir), map[string][]byte{"config.toml": []byte(containerdConfig)}),
		n.writeKubeconfig(ca, n.outside(kubeletDir, "kubeconfig"), identity{user: user, groups: []string{"system:nodes"}}),
		n.writeKubeconfig(ca, n.outside(proxyDir, "kubeconfig"), identity{user: "system:kube-proxy"}),
	)
}

// startRuntime makes the node's mount namespace, starts containerd in it and
// waits until it answers.
func (n node) startRuntime(ctx context.Context) (*process, error) {
	program, err := lookTool("containerd")
	if err != nil {
		return nil, err
	}
	p, err := newProcess(n.instance, "home-containerd")
	if err != nil {
		return nil, err
	}
	err = inNewNode(n.instance, n.binaries, func() error {
		return p.start(program, "--config", containerdDir+"/config.toml")
	})
	if err != nil {
		return nil, err
	}
	return p, p.await(ctx, readyTimeout, func(ctx context.Context) error {
		_, err := ctr(ctx, n.instance, "version")
		return err
	})
}

// startAgents starts the kubelet and kube-proxy beside containerd.
func (n node) startAgents(runtime *process) (kubelet, proxy *process, err error) {
	if kubelet, err = newProcess(n.instance, "home-kubelet"); err != nil {
		return nil, nil, err
	}
	if proxy, err = newProcess(n.instance, "home-kube-proxy"); err != nil {
		return nil, nil, err
	}
	return kubelet, proxy, inMountsOf(runtime.pid, n.netns, func() error {
		err := kubelet.start(nodeBin+"/kubelet",
			"--config="+kubeletDir+"/config.json",
			"--kubeconfig="+kubeletDir+"/kubeconfig",
			"--hostname-override="+n.instance.nodeName(),
			"--node-ip="+n.ip.String(),
		)
		if err != nil {
			return err
		}
		return proxy.start(nodeBin+"/kube-proxy", "--config="+proxyDir+"/config.json")
	})
}

// awaitReady waits until a Pod that is created now would run, and would reach
// Services.
func (n node) awaitReady(ctx context.Context, api *API, kubelet, proxy *process) error {
	client, err := kubernetes.NewForConfig(api.config)
	if err != nil {
		return err
	}
	err = kubelet.await(ctx, readyTimeout, func(ctx context.Context) error {
		node, err := client.CoreV1().Nodes().Get(ctx, n.instance.nodeName(), metav1.GetOptions{})
		if err != nil {
			return err
		}
		return nodeReady(node)
	})
	if err != nil {
		return err
	}
	return proxy.await(ctx, readyTimeout, func(ctx context.Context) error {
		return healthy(ctx, "http://"+netip.AddrPortFrom(n.ip, proxyHealthPort).String()+"/healthz")
	})
}

func nodeReady(node *corev1.Node) error {
	for _, condition := range node.Status.Conditions {
		if condition.Type != corev1.NodeReady {
			continue
		}
		if condition.Status != corev1.ConditionTrue {
			return fmt.Errorf("the node is not ready: %s", condition.Message)
		}
		// The taint goes a moment after the condition comes.
		for _, taint := range node.Spec.Taints {
			return fmt.Errorf("the node still has the taint %s", taint.Key)
		}
		return nil
	}
	return errors.New("the kubelet has not said yet whether the node is ready")
}

func healthy(ctx context.Context, url string) error {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return err
	}
	response, err := directClient.Do(request)
	if err != nil {
		return err
	}
	defer func() { _ = response.Body.Close() }()
	if response.StatusCode != http.StatusOK {
		return fmt.Errorf("%s answers %s", url, response.Status)
	}
	return nil
}

// directClient takes no notice of proxies that the caller's environment names.
var directClient = &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
