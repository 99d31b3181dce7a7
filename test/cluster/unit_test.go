package cluster

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
)

func TestInstances(t *testing.T) {
	_, err := newInstance("other")
	require.EqualError(t, err, `there is no cluster instance "other"; use one of demo, install, selftest, test`)

	seen := map[string]string{}
	for name := range networks {
		i, err := newInstance(name)
		require.NoError(t, err)
		assert.LessOrEqual(t, len(i.link()), 15, "longer names of interfaces are refused")
		// No name or path of one instance may be or contain that of another.
		for _, unique := range []string{i.link(), i.homeNet(), i.tgtNet(), i.cgroup(), i.dataDir(), i.runDir(), i.lockFile(), i.homeIP().String(), i.targetIP().String()} {
			assert.Empty(t, seen[unique])
			seen[unique] = name
		}
		for other, network := range networks {
			assert.False(t, other != name && network.Overlaps(i.network))
		}
	}
	demo, err := newInstance("demo")
	require.NoError(t, err)
	assert.Equal(t, "198.51.100.1/24", demo.withBits(demo.machineIP()))
	assert.Equal(t, "198.51.100.2", demo.homeIP().String())
	assert.Equal(t, "198.51.100.3", demo.targetIP().String())
	assert.Less(t, len(socket(demo)), 108, "longer paths of sockets are refused")
}

func TestParseMounts(t *testing.T) {
	got, err := parseMounts(strings.Join([]string{
		`22 27 0:20 / /sys rw,nosuid shared:7 - sysfs sysfs rw`,
		`30 22 0:26 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw,nsdelegate`,
		`96 27 0:4 net:[4026532] /run/netns/with\040space rw shared:5 master:1 - nsfs nsfs rw`,
		``,
	}, "\n"))
	require.NoError(t, err)
	assert.Equal(t, []mount{
		{point: "/sys", fstype: "sysfs"},
		{point: "/sys/fs/cgroup", fstype: "cgroup2"},
		{point: "/run/netns/with space", fstype: "nsfs"},
	}, got)

	_, err = parseMounts("22 27 0:20 / /sys rw\n")
	require.ErrorContains(t, err, "cannot read line")
	_, err = mounts()
	require.NoError(t, err, "this machine's own")
}

func TestInCgroup(t *testing.T) {
	const v1 = "9:name=systemd:/kc-demo/kubepods/pod1:x/abc\n8:pids:/\n0::/\n"
	const v2 = "0::/kc-demo\n"
	assert.True(t, inCgroup(v1, "/kc-demo"))
	assert.True(t, inCgroup(v2, "/kc-demo"))
	assert.False(t, inCgroup("0::/kc-demo2/kubepods\n", "/kc-demo"))
	assert.False(t, inCgroup("0::/system.slice/kc-demo\n", "/kc-demo"))
	assert.False(t, inCgroup("", "/kc-demo"))
}

func TestParseStat(t *testing.T) {
	got, err := parseStat("42 (a ) b) Z 7 42 42 0 -1")
	require.NoError(t, err)
	assert.Equal(t, stat{name: "a ) b", state: 'Z', parent: 7}, got)
	for _, bad := range []string{"", "42 name S 7", "42 (name)", "42 (name) S x"} {
		_, err := parseStat(bad)
		require.Error(t, err, bad)
	}
	own, err := statOf(os.Getpid())
	require.NoError(t, err)
	assert.Equal(t, os.Getppid(), own.parent)
}

func TestEvidenceSparesTheCaller(t *testing.T) {
	e := evidence{marker: "PATH=" + os.Getenv("PATH"), cgroup: "/none"}
	assert.True(t, e.holds(os.Getpid()), "or this test shows nothing")
	own, err := evidenceOf(instance{name: "none"})
	require.NoError(t, err)
	e.spared = own.spared
	assert.False(t, e.holds(os.Getpid()))
	assert.False(t, e.holds(os.Getppid()))
	assert.False(t, e.holds(1))
}

func TestMissingFrom(t *testing.T) {
	var listed strings.Builder
	for _, p := range packages {
		status := "installed"
		switch p.Name {
		case "runc":
			continue
		case "iptables":
			status = "config-files"
		}
		fmt.Fprintf(&listed, "%s %s\n", p.Name, status)
	}
	missing := missingFrom(listed.String(), packages)
	assert.Equal(t, []string{"runc", "iptables"}, names(missing))
	assert.EqualError(t, missingError(missing, errors.New("no network")), `these Debian packages are missing:
  runc (starts them)
  iptables (kube-proxy's rules)
and installing them failed: no network
run: apt-get update && apt-get install runc iptables`)
}

func TestImported(t *testing.T) {
	assert.Equal(t, []string{"example/a:dev", "example/b:dev"}, imported(
		"unpacking example/a:dev (sha256:1)...done\nunpacking example/b:dev (sha256:2)...done\n"))
	assert.Empty(t, imported("nothing\n"))
}

func TestComplaints(t *testing.T) {
	assert.Equal(t, "error: no matches for kind", complaints("namespace/a created\nerror: no matches for kind\n"))
}

func TestPKI(t *testing.T) {
	ca, err := newAuthority("test")
	require.NoError(t, err)
	address := netip.MustParseAddr("203.0.113.2")
	server, err := ca.issue(identity{user: "server", names: []string{"kubernetes"}, addresses: []netip.Addr{address}})
	require.NoError(t, err)
	client, err := ca.issue(identity{user: "admin", groups: []string{"system:masters"}})
	require.NoError(t, err)

	root, err := ca.pair()
	require.NoError(t, err)
	pool := x509.NewCertPool()
	require.True(t, pool.AppendCertsFromPEM(root.cert))
	parse := func(p keyPair) *x509.Certificate {
		_, err := tls.X509KeyPair(p.cert, p.key)
		require.NoError(t, err, "certificate and key must belong together")
		block, _ := pem.Decode(p.cert)
		cert, err := x509.ParseCertificate(block.Bytes)
		require.NoError(t, err)
		return cert
	}
	s, c := parse(server), parse(client)
	for _, name := range []string{"kubernetes", net.IP(address.AsSlice()).String()} {
		_, err = s.Verify(x509.VerifyOptions{Roots: pool, DNSName: name})
		require.NoError(t, err)
	}
	_, err = c.Verify(x509.VerifyOptions{Roots: pool, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}})
	require.NoError(t, err)
	_, err = c.Verify(x509.VerifyOptions{Roots: pool, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}})
	require.Error(t, err, "a user's certificate must not serve")
	assert.Equal(t, "admin", c.Subject.CommonName)
	assert.Equal(t, []string{"system:masters"}, c.Subject.Organization)
	assert.NotEqual(t, s.SerialNumber, c.SerialNumber)

	file := filepath.Join(t.TempDir(), "new", "kubeconfig")
	require.NoError(t, writeKubeconfig(file, "home", "https://203.0.113.2:6443", root.cert, client))
	info, err := os.Stat(file)
	require.NoError(t, err)
	assert.Equal(t, os.FileMode(0o600), info.Mode())
	api, err := openAPI(file)
	require.NoError(t, err)
	assert.Equal(t, "https://203.0.113.2:6443", api.Address)
	assert.Equal(t, root.cert, api.CA)
	api.RESTConfig().Host = "changed"
	assert.Equal(t, "https://203.0.113.2:6443", api.RESTConfig().Host, "callers get a copy")
}

func TestLock(t *testing.T) {
	path := filepath.Join(t.TempDir(), "dir", "lock")
	first, err := tryLock(path)
	require.NoError(t, err)

	_, err = tryLock(path)
	var held *heldError
	require.ErrorAs(t, err, &held)
	assert.Contains(t, held.holder, fmt.Sprintf("process %d (", os.Getpid()))

	require.NoError(t, first.release())
	assert.NoDirExists(t, filepath.Dir(path), "a lock that is given up leaves nothing")
	second, err := tryLock(path)
	require.NoError(t, err)
	require.NoError(t, second.release())
}

func TestPoll(t *testing.T) {
	calls := 0
	require.NoError(t, poll(t.Context(), time.Minute, func(context.Context) error {
		if calls++; calls < 3 {
			return errors.New("not yet")
		}
		return nil
	}))
	assert.Equal(t, 3, calls)

	err := poll(t.Context(), 3*pollEvery, func(ctx context.Context) error { return errors.New("never") })
	require.EqualError(t, err, "not within 150ms: never")

	calls = 0
	err = poll(t.Context(), pollEvery, func(ctx context.Context) error {
		if calls++; calls == 1 {
			return errors.New("the reason")
		}
		<-ctx.Done()
		return ctx.Err()
	})
	require.ErrorContains(t, err, "the reason", "a call that was cut short has nothing to say")

	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	assert.ErrorIs(t, poll(ctx, time.Minute, func(context.Context) error { return errors.New("no") }), context.Canceled)
}

func TestTogether(t *testing.T) {
	failed := errors.New("failed")
	err := together(t.Context(),
		func(context.Context) error { return failed },
		func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() },
	)
	assert.Equal(t, failed, err)
	assert.NoError(t, together(t.Context(), func(context.Context) error { return nil }))
}

// script is a process that runs a shell script.
func script(t *testing.T, text string) *process {
	t.Helper()
	log, err := os.Create(filepath.Join(t.TempDir(), "log"))
	require.NoError(t, err)
	p := &process{instance: instance{name: "none"}, name: "home-part", log: log.Name(), output: log, ended: make(chan struct{})}
	require.NoError(t, p.start("/bin/sh", "-c", text))
	t.Cleanup(func() {
		if process, err := os.FindProcess(p.pid); err == nil {
			_ = process.Kill()
		}
		<-p.ended
	})
	return p
}

func TestAwait(t *testing.T) {
	notYet := func(context.Context) error { return errors.New("connection refused") }

	p := script(t, "for i in $(seq 30); do echo line $i; done; exit 3")
	err := p.await(t.Context(), time.Minute, notYet)
	require.Error(t, err)
	lines := strings.Split(err.Error(), "\n")
	assert.Equal(t, "home-part ended: exit status 3", lines[0])
	assert.Equal(t, "the end of "+p.log+":", lines[1])
	assert.Equal(t, "  line 30", lines[len(lines)-1])
	assert.Len(t, lines, 2+tailLines)

	p = script(t, "echo thinking; exec sleep 60")
	err = p.await(t.Context(), 10*pollEvery, notYet)
	require.ErrorContains(t, err, "home-part is not ready: not within 500ms: connection refused\n")
	require.ErrorContains(t, err, "  thinking")
	require.NoError(t, p.await(t.Context(), time.Minute, func(context.Context) error { return nil }))

	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	err = p.await(ctx, time.Minute, notYet)
	require.ErrorIs(t, err, context.Canceled)
	assert.NotContains(t, err.Error(), "thinking", "who gives up is not interested in logs")
}

func TestProcessEnvironment(t *testing.T) {
	t.Setenv("HTTPS_PROXY", "http://127.0.0.1:1")
	p := script(t, "env")
	<-p.ended
	content, err := os.ReadFile(p.log)
	require.NoError(t, err)
	assert.Contains(t, string(content), marker+"=none\n")
	assert.NotContains(t, string(content), "PROXY")
}

func TestReport(t *testing.T) {
	var out bytes.Buffer
	report(&out, "building kubelet")()
	assert.Equal(t, "building kubelet took 0s\n", out.String())
}

func TestSourceRoot(t *testing.T) {
	root, err := sourceRoot()
	require.NoError(t, err)
	assert.FileExists(t, filepath.Join(root, "test", "cluster", "unit_test.go"))

	t.Chdir(filepath.Join(root, components))
	nested, err := sourceRoot()
	require.NoError(t, err)
	assert.Equal(t, root, nested, "a module nested in it is not it")

	t.Chdir(t.TempDir())
	_, err = sourceRoot()
	assert.ErrorContains(t, err, "is not in a source tree")
}

func TestBinariesKey(t *testing.T) {
	root, err := sourceRoot()
	require.NoError(t, err)
	first, err := clusterPrograms.key(t.Context(), root)
	require.NoError(t, err)
	second, err := clusterPrograms.key(t.Context(), root)
	require.NoError(t, err)
	assert.Equal(t, first, second)
	assert.Len(t, first, 16)
}

func TestNodeReady(t *testing.T) {
	node := &corev1.Node{}
	require.ErrorContains(t, nodeReady(node), "has not said")
	node.Status.Conditions = []corev1.NodeCondition{{Type: corev1.NodeReady, Status: corev1.ConditionFalse, Message: "no network"}}
	require.ErrorContains(t, nodeReady(node), "no network")
	node.Status.Conditions[0].Status = corev1.ConditionTrue
	node.Spec.Taints = []corev1.Taint{{Key: "node.kubernetes.io/not-ready"}}
	require.ErrorContains(t, nodeReady(node), "not-ready")
	node.Spec.Taints = nil
	assert.NoError(t, nodeReady(node))
}

func TestCgroupTree(t *testing.T) {
	root := filepath.Join(t.TempDir(), "kc-none")
	require.NoError(t, os.MkdirAll(filepath.Join(root, "kubepods", "pod1", "abc"), 0o755))
	require.NoError(t, removeCgroupTree(root))
	assert.NoDirExists(t, root)
	require.NoError(t, removeCgroupTree(root), "nothing to do is fine")
}

func TestNodeConfigsNameTheInstance(t *testing.T) {
	i, err := newInstance("test")
	require.NoError(t, err)
	kubelet := kubeletConfig(i)
	assert.Equal(t, "/kc-test", kubelet["cgroupRoot"])
	assert.Equal(t, "203.0.113.2", kubelet["address"])
	assert.Equal(t, "203.0.113.2:10256", proxyConfig(i)["healthzBindAddress"])
	assert.Equal(t, "kc-test", podNetworkConfig(i)["name"])
}
