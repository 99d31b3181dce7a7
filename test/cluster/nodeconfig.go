package cluster

import "net/netip"

const (
	pauseImage      = "kube-connector/pause:dev"
	proxyHealthPort = 10256
)

// object is a JSON object. The configuration types themselves are in modules
// that nothing else here needs.
type object = map[string]any

// containerdConfig is the same for every instance: each finds its own /var and
// /run.
const containerdConfig = `version = 2

[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "` + pauseImage + `"
  # On a machine whose root may not lower it, a container would not start.
  restrict_oom_score_adj = true

[plugins."io.containerd.grpc.v1.cri".cni]
  bin_dir = "/usr/lib/cni"
  conf_dir = "` + cniDir + `"

[plugins."io.containerd.internal.v1.opt"]
  path = "` + containerdDir + `/opt"
`

// podNetworkConfig connects each Pod to the node by a cable of its own (ptp)
// rather than by a bridge: all traffic between Pods is then routed, so that
// kube-proxy's rules see answers too, also on machines without br_netfilter.
func podNetworkConfig(i instance) object {
	return object{
		"cniVersion": "0.4.0",
		"name":       "kc-" + i.name,
		"plugins": []object{{
			"type": "ptp",
			// The target knows no way back to a Pod.
			"ipMasq": true,
			"ipam": object{
				"type":   "host-local",
				"ranges": [][]object{{{"subnet": podNetwork}}},
				"routes": []object{{"dst": "0.0.0.0/0"}},
			},
		}},
	}
}

func kubeletConfig(i instance) object {
	return object{
		"apiVersion":               "kubelet.config.k8s.io/v1beta1",
		"kind":                     "KubeletConfiguration",
		"address":                  i.homeIP().String(),
		"containerRuntimeEndpoint": "unix://" + runtimeSocket,
		"tlsCertFile":              kubeletDir + "/serving.crt",
		"tlsPrivateKeyFile":        kubeletDir + "/serving.key",
		"authentication": object{
			"anonymous": object{"enabled": false},
			"webhook":   object{"enabled": true},
			"x509":      object{"clientCAFile": kubeletDir + "/ca.crt"},
		},
		"authorization": object{"mode": "Webhook"},

		// A minute by default. Short, so that in a demo and in tests a rotated
		// Secret reaches its Pods while somebody is watching.
		"syncFrequency": "10s",

		"cgroupDriver": "cgroupfs",
		"cgroupRoot":   i.cgroup(),
		"failCgroupV1": false,
		"failSwapOn":   false,
		"oomScoreAdj":  0,
		// Needs project quotas or a walk through every emptyDir.
		"localStorageCapacityIsolation": false,
		// There is no name server. Pods ask themselves and learn so at once,
		// and no warning about it is attached to every Pod.
		"clusterDNS": []string{"127.0.0.1"},
		"resolvConf": "",
		// The images came from a file and could not be pulled again.
		"imageGCHighThresholdPercent": 100,
		"imageGCLowThresholdPercent":  99,
		// Nor shall a machine with a full disk evict Pods.
		"evictionHard": object{
			"memory.available": "0%", "nodefs.available": "0%", "nodefs.inodesFree": "0%",
			"imagefs.available": "0%", "imagefs.inodesFree": "0%",
		},
	}
}

func proxyConfig(i instance) object {
	return object{
		"apiVersion":         "kubeproxy.config.k8s.io/v1alpha1",
		"kind":               "KubeProxyConfiguration",
		"mode":               "iptables",
		"hostnameOverride":   i.nodeName(),
		"clusterCIDR":        podNetwork,
		"clientConnection":   object{"kubeconfig": proxyDir + "/kubeconfig"},
		"healthzBindAddress": netip.AddrPortFrom(i.homeIP(), proxyHealthPort).String(),
		"oomScoreAdj":        0,
		// These are settings of the whole machine: leave them alone.
		"conntrack": object{
			"maxPerCore": 0, "min": 0,
			"tcpEstablishedTimeout": "0s", "tcpCloseWaitTimeout": "0s",
		},
	}
}
