package install

import (
	"encoding/json"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	rbacv1 "k8s.io/api/rbac/v1"
	"k8s.io/apimachinery/pkg/runtime"
)

// use is one thing that may be done, or was: "connector-webhook: read secrets".
type use string

func newUse(account, verb, group, resource string) use {
	// An informer's three verbs are one thing: who may list may read all.
	if slices.Contains([]string{"get", "list", "watch"}, verb) {
		verb = "read"
	}
	if group != "" {
		resource += "." + group
	}
	return use(account + ": " + verb + " " + resource)
}

// asked is what the product asked the API server for after so many requests, and
// what of it was forbidden.
func asked(t *testing.T, since int) (uses map[use]bool, forbidden []string) {
	t.Helper()
	requests, err := clusters.Requests()
	require.NoError(t, err)
	uses = map[use]bool{}
	for _, r := range requests[since:] {
		switch {
		case r.Denied:
			forbidden = append(forbidden, r.Account+": "+r.Verb+" "+r.URI)
			continue
		case r.Resource == "":
			continue // discovery, which everybody may do
		case r.Verb == "patch" && r.Code == http.StatusCreated:
			// An apply that creates needs the right to create as well.
			uses[newUse(r.Account, "create", r.Group, r.Resource)] = true
		}
		uses[newUse(r.Account, r.Verb, r.Group, r.Resource)] = true
	}
	return uses, forbidden
}

// granted is what the roles in dist/install.yaml let the product do.
func granted(t *testing.T) map[use]bool {
	t.Helper()
	manifest, err := os.ReadFile(filepath.Join(root, "dist/install.yaml"))
	require.NoError(t, err)
	rules, accounts := map[string][]rbacv1.PolicyRule{}, map[string][]rbacv1.Subject{}
	for _, object := range decode(t, string(manifest)) {
		var role struct {
			Rules    []rbacv1.PolicyRule `json:"rules"`
			RoleRef  rbacv1.RoleRef      `json:"roleRef"`
			Subjects []rbacv1.Subject    `json:"subjects"`
		}
		require.NoError(t, runtime.DefaultUnstructuredConverter.FromUnstructured(object.Object, &role))
		switch kind := object.GetKind(); kind {
		case "Role", "ClusterRole":
			rules[kind+" "+object.GetName()] = role.Rules
		case "RoleBinding", "ClusterRoleBinding":
			ref := role.RoleRef.Kind + " " + role.RoleRef.Name
			accounts[ref] = append(accounts[ref], role.Subjects...)
		}
	}
	uses := map[use]bool{}
	for role, rules := range rules {
		require.NotEmpty(t, accounts[role], "%s is bound to nobody", role)
		for _, subject := range accounts[role] {
			require.Equal(t, rbacv1.ServiceAccountKind, subject.Kind)
			require.Contains(t, []string{"connector-webhook", "connector-controller"}, subject.Name, "the sidecar, above all, has no rights")
			for _, rule := range rules {
				require.NotContains(t, slices.Concat(rule.Verbs, rule.Resources, rule.APIGroups), "*")
				for _, verb := range rule.Verbs {
					for _, group := range rule.APIGroups {
						for _, resource := range rule.Resources {
							uses[newUse(subject.Name, verb, group, resource)] = true
						}
					}
				}
			}
		}
	}
	return uses
}

// testRights compares what is granted with what was asked for after so many
// requests: neither is more than the other. It first makes happen what seldom does.
func testRights(t *testing.T, since int) {
	t.Helper()
	// A CA that is no longer good is replaced.
	kubectl(t, "-n", "connectors-system", "patch", "secret", "connector-webhook-ca", "--type=merge", "-p", `{"data":{"tls.crt":"","tls.key":"","ca.crt":""}}`)
	// So is a ConfigMap that somebody has changed; and what happens to a Connector
	// twice is counted in the event that is there.
	kubectl(t, "-n", team, "patch", "configmap", "k8s-connector.connector", "--type=merge", "-p", `{"data":{"address":"https://elsewhere.example.com"}}`)
	for range 2 {
		for _, class := range []string{"nowhere", "k8s"} {
			kubectl(t, "-n", team, "patch", "connector", "k8s-connector", "--type=merge", "-p", `{"spec":{"connectorClassName":"`+class+`"}}`)
			kubectl(t, "-n", team, "wait", "connector/k8s-connector", "--timeout=60s",
				"--for=condition=Ready="+map[bool]string{true: "True", false: "False"}[class == "k8s"])
		}
	}
	want := slices.Sorted(maps.Keys(granted(t)))
	var got []use
	eventually(t, func() bool {
		uses, forbidden := asked(t, since)
		require.Empty(t, forbidden, "the API server refused the product something")
		got = slices.Sorted(maps.Keys(uses))
		return slices.Equal(want, got)
	}, "granted, and what was asked for: %v", rightsDifference{&want, &got})
}

// rightsDifference prints what two lists do not have in common.
type rightsDifference struct{ granted, asked *[]use }

func (d rightsDifference) String() string {
	text := ""
	for _, u := range *d.granted {
		if !slices.Contains(*d.asked, u) {
			text += "\nnever used: " + string(u)
		}
	}
	for _, u := range *d.asked {
		if !slices.Contains(*d.granted, u) {
			text += "\nnot granted by our roles: " + string(u)
		}
	}
	return text
}

// testSidecarHasNoToken: where other containers find the API token of their Pod,
// the sidecar has a volume with nothing in it.
func testSidecarHasNoToken(t *testing.T) {
	var pod struct {
		Spec struct {
			Volumes []struct {
				Name      string
				Projected *struct{ Sources []any }
			}
			InitContainers []struct {
				Name         string
				VolumeMounts []struct{ Name, MountPath string }
			}
		}
	}
	require.NoError(t, json.Unmarshal([]byte(kubectl(t, "-n", team, "get", "pod", "app", "-o", "json")), &pod))
	sidecar := pod.Spec.InitContainers[0]
	require.Equal(t, "connector-proxy", sidecar.Name)
	mounted := ""
	for _, mount := range sidecar.VolumeMounts {
		if strings.HasPrefix(mount.MountPath, "/var/run/secrets") {
			assert.Equal(t, "/var/run/secrets/kubernetes.io/serviceaccount", mount.MountPath)
			mounted = mount.Name
		}
	}
	require.NotEmpty(t, mounted)
	for _, volume := range pod.Spec.Volumes {
		if volume.Name == mounted {
			require.NotNil(t, volume.Projected)
			assert.Empty(t, volume.Projected.Sources)
		}
	}
}
