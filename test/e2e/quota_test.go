package e2e

import (
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/kube-connector/kube-connector/pkg/apis/connectors/v1alpha1"
)

// amounts are quantities of CPU and memory.
func amounts(cpu, memory string) corev1.ResourceList {
	return corev1.ResourceList{corev1.ResourceCPU: resource.MustParse(cpu), corev1.ResourceMemory: resource.MustParse(memory)}
}

// between are requests and limits, of CPU and memory each.
func between(requests, limits corev1.ResourceList) corev1.ResourceRequirements {
	return corev1.ResourceRequirements{Requests: requests, Limits: limits}
}

// said is what a container asks for, in short.
func said(r corev1.ResourceRequirements) string {
	return fmt.Sprintf("%s %s - %s %s", r.Requests.Cpu(), r.Requests.Memory(), r.Limits.Cpu(), r.Limits.Memory())
}

// budgeted limits what a namespace may use in all, and has its containers limited,
// if limits are given.
func budgeted(t *testing.T, namespace string, limits *corev1.LimitRangeItem) *corev1.ResourceQuota {
	t.Helper()
	if limits != nil {
		limits.Type = corev1.LimitTypeContainer
		create(t, home, &corev1.LimitRange{
			ObjectMeta: metav1.ObjectMeta{Name: "limits", Namespace: namespace},
			Spec:       corev1.LimitRangeSpec{Limits: []corev1.LimitRangeItem{*limits}},
		})
	}
	quota := &corev1.ResourceQuota{
		ObjectMeta: metav1.ObjectMeta{Name: "budget", Namespace: namespace},
		Spec: corev1.ResourceQuotaSpec{Hard: corev1.ResourceList{
			corev1.ResourceRequestsCPU: resource.MustParse("1"), corev1.ResourceRequestsMemory: resource.MustParse("1Gi"),
			corev1.ResourceLimitsCPU: resource.MustParse("2"), corev1.ResourceLimitsMemory: resource.MustParse("2Gi"),
		}},
	}
	create(t, home, quota)
	return quota
}

// admitted asks for a Pod as soon as the API server knows what of the quota is in
// use.
func admitted(t *testing.T, pod *corev1.Pod, options ...client.CreateOption) error {
	t.Helper()
	var err error
	eventually(t, func() bool {
		err = home.Create(t.Context(), pod, options...)
		return err == nil || !strings.Contains(err.Error(), "status unknown for quota")
	}, "nobody counts what of the quota is in use: %v", &err)
	return err
}

// TestQuotaAndLimitRange: what is admitted in a namespace with a quota or with
// limits is admitted with the sidecar, too, or else with what
// docs/troubleshooting.md says to the refusal.
func TestQuotaAndLimitRange(t *testing.T) {
	t.Parallel()
	const usual = "10m 16Mi - 100m 64Mi"
	type asked struct {
		name        string
		app         corev1.ResourceRequirements
		whole       *corev1.ResourceRequirements // of the Pod
		annotations map[string]string            // without our prefix
		want        string                       // of the sidecar
		refusal     string
	}
	small := between(amounts("50m", "32Mi"), amounts("100m", "64Mi"))
	whole := between(amounts("60m", "48Mi"), amounts("200m", "128Mi"))
	for name, test := range map[string]struct {
		limits *corev1.LimitRangeItem
		asked  []asked
	}{
		"quota": {nil, []asked{
			{name: "limits of its own", app: small, want: usual},
			{name: "guaranteed", app: between(amounts("50m", "32Mi"), amounts("50m", "32Mi")), want: "100m 64Mi - 100m 64Mi"},
			{name: "resources of the whole Pod", whole: &whole, want: "0 0 - 0 0"},
			{name: "no limits", refusal: "must specify limits.cpu for: app,connector-proxy; limits.memory for: app;"},
			{name: "no room", app: between(amounts("995m", "32Mi"), amounts("1", "32Mi")), refusal: "exceeded quota: budget, requested: requests.cpu=1005m"},
			{
				name: "less room", app: between(amounts("995m", "32Mi"), amounts("1", "32Mi")),
				annotations: map[string]string{"proxy-cpu": "5m"}, want: "5m 16Mi - 100m 64Mi",
			},
		}},
		"defaults": {&corev1.LimitRangeItem{Default: amounts("200m", "128Mi"), DefaultRequest: amounts("50m", "32Mi")}, []asked{
			{name: "says nothing", want: usual},
			{name: "limits of its own", app: small, want: usual},
			{name: "resources of the whole Pod", whole: &whole, refusal: "must be greater than or equal to aggregate container requests"},
			{
				name: "room in the whole Pod", whole: &whole,
				annotations: map[string]string{"proxy-cpu": "10m", "proxy-memory": "16Mi"}, want: "10m 16Mi - 200m 128Mi",
			},
		}},
		"ratio": {
			&corev1.LimitRangeItem{
				Default: amounts("200m", "64Mi"), DefaultRequest: amounts("50m", "32Mi"), MaxLimitRequestRatio: amounts("4", "2"),
			},
			[]asked{
				{name: "the usual", refusal: "cpu max limit to request ratio per Container is 4, but provided ratio is 10.000000"},
				{name: "the usual memory", refusal: "memory max limit to request ratio per Container is 2, but provided ratio is 4.000000"},
				{name: "closer", annotations: map[string]string{"proxy-cpu": "25m", "proxy-memory": "32Mi"}, want: "25m 32Mi - 100m 64Mi"},
				{name: "lower", annotations: map[string]string{"proxy-cpu-limit": "40m", "proxy-memory-limit": "32Mi"}, want: "10m 16Mi - 40m 32Mi"},
			},
		},
		"maximum": {&corev1.LimitRangeItem{Max: amounts("80m", "48Mi")}, []asked{
			{name: "the usual", refusal: "maximum cpu usage per Container is 80m, but limit is 100m"},
			{name: "lower", annotations: map[string]string{"proxy-cpu-limit": "80m", "proxy-memory-limit": "48Mi"}, want: "80m 48Mi - 80m 48Mi"},
		}},
		"minimum": {
			&corev1.LimitRangeItem{Min: amounts("20m", "32Mi"), Default: amounts("200m", "128Mi"), DefaultRequest: amounts("50m", "32Mi")},
			[]asked{
				{name: "the usual", refusal: "minimum memory usage per Container is 32Mi, but request is 16Mi"},
				{name: "higher", annotations: map[string]string{"proxy-cpu": "20m", "proxy-memory": "32Mi"}, want: "20m 32Mi - 100m 64Mi"},
			},
		},
	} {
		t.Run(name, func(t *testing.T) {
			namespace := newNamespace(t)
			create(t, home, connectorObject(namespace, clusters.Target.Address))
			budgeted(t, namespace, test.limits)
			for _, a := range test.asked {
				pod := sleeper(namespace)
				pod.Spec.Containers[0].Resources, pod.Spec.Resources = a.app, a.whole
				for key, value := range a.annotations {
					pod.Annotations[v1alpha1.KeyPrefix+key] = value
				}
				err := admitted(t, pod, client.DryRunAll)
				if a.refusal != "" {
					require.ErrorContains(t, err, a.refusal, a.name)
					continue
				}
				require.NoError(t, err, a.name)
				assert.Equal(t, a.want, said(pod.Spec.InitContainers[0].Resources), a.name)
			}
		})
	}
}

// TestPodWithinALimitRange: a Pod that says nothing runs where others decide what
// it may use, and its sidecar counts like any other container.
func TestPodWithinALimitRange(t *testing.T) {
	t.Parallel()
	team := newTeam(t)
	quota := budgeted(t, team.namespace, &corev1.LimitRangeItem{Default: amounts("200m", "128Mi"), DefaultRequest: amounts("50m", "32Mi")})
	pod := sleeper(team.namespace)
	require.NoError(t, admitted(t, pod))
	awaitPod(t, pod, "ready", running)
	output, err := execute(t, pod, "app", "", "kubectl", "auth", "whoami")
	require.NoError(t, err, output)
	assert.Contains(t, output, team.user)
	require.NoError(t, home.Get(t.Context(), client.ObjectKeyFromObject(quota), quota))
	used := quota.Status.Used
	assert.Equal(t, "60m 48Mi - 300m 192Mi", fmt.Sprintf("%s %s - %s %s",
		used.Name(corev1.ResourceRequestsCPU, resource.DecimalSI), used.Name(corev1.ResourceRequestsMemory, resource.BinarySI),
		used.Name(corev1.ResourceLimitsCPU, resource.DecimalSI), used.Name(corev1.ResourceLimitsMemory, resource.BinarySI)))
	removed(t, pod)
}
