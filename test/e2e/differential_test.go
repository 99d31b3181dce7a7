package e2e

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

const (
	asTable    = "application/json;as=Table;v=v1;g=meta.k8s.io"
	asMetadata = "application/json;as=PartialObjectMetadataList;v=v1;g=meta.k8s.io"
	asProtobuf = "application/vnd.kubernetes.protobuf"
	aggregated = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"

	mergePatch     = "application/merge-patch+json"
	jsonPatch      = "application/json-patch+json"
	strategicPatch = "application/strategic-merge-patch+json"
	applyPatch     = "application/apply-patch+yaml"

	// core is where most requests go, and objects its ConfigMaps.
	core    = "/api/v1/namespaces/{namespace}"
	objects = core + "/configmaps"
)

// accept is a header that asks for one representation.
func accept(what string) map[string]string { return map[string]string{"Accept": what} }

// sends is a header that says what the body is.
func sends(what string) map[string]string { return map[string]string{"Content-Type": what} }

// TestDifferential sends the same requests to a real API server directly and
// through the sidecar, in both modes, and compares what comes back byte by byte:
// code, every header but those that normalize names, body and trailer.
//
// On purpose the sidecar differs in the following, none of which is among the cases.
// It refuses Impersonate-*, methods that Kubernetes does not have, upgrades to other
// protocols than its two, paths with dot-segments and, on the localhost port, an
// Origin; it takes no Cookie, X-Remote-* or X-Forwarded-* from a client; on the
// localhost port it shows no way to other servers. It speaks HTTP/1.1, as the direct
// client does here.
func TestDifferential(t *testing.T) {
	t.Parallel()
	ways, _ := waysTo(t, clusters.Target)
	namespace := makeNamespace(t, target, nil)
	tours := toursIn(ways, namespace)
	at := someObjects(t, namespace)

	t.Run("read", func(t *testing.T) { compare(t, tours, reads(at)) })
	t.Run("pages", func(t *testing.T) { comparePages(t, tours, at) })
	t.Run("unchanged", func(t *testing.T) { compareUnchanged(t, tours) })
	t.Run("refused", func(t *testing.T) { compare(t, tours, refusals) })
	t.Run("dry run", func(t *testing.T) { compare(t, tours, dryRuns) })
	t.Run("write", func(t *testing.T) {
		// The same requests change something, so each has a namespace of its own.
		for _, tour := range tours {
			tour.namespace = makeNamespace(t, target, nil)
		}
		compare(t, tours, writes)
	})
}

// someObjects makes ConfigMaps, one of which is worth a compression, and returns
// a resourceVersion at which they are all there is.
func someObjects(t *testing.T, namespace string) (at string) {
	t.Helper()
	var list corev1.ConfigMapList
	eventually(t, func() bool {
		require.NoError(t, target.List(t.Context(), &list, client.InNamespace(namespace)))
		return len(list.Items) > 0
	}, "kube-root-ca.crt does not appear")
	var large strings.Builder
	random := rand.New(rand.NewPCG(1, 2))
	for large.Len() < 500_000 {
		fmt.Fprintf(&large, "%d ", random.IntN(1000))
	}
	for _, name := range []string{"a", "b", "c", "d", "e"} {
		object := &corev1.ConfigMap{
			ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: namespace, Labels: map[string]string{"name": name}},
			Data:       map[string]string{"key": "value of " + name + " <&> \u00fc \u2028"},
		}
		if name == "e" {
			object.Data["large"] = large.String()
		}
		require.NoError(t, target.Create(t.Context(), object))
	}
	require.NoError(t, target.List(t.Context(), &list, client.InNamespace(namespace)))
	require.Len(t, list.Items, 6)
	return list.ResourceVersion
}

// reads are requests whose answers are the same each time.
func reads(at string) []request {
	exact := "resourceVersion=" + at + "&resourceVersionMatch=Exact"
	ok := http.StatusOK
	return []request{
		{name: "get", path: objects + "/a", status: ok},
		{name: "get, pretty", path: objects + "/a?pretty=true", status: ok},
		{name: "get, YAML", path: objects + "/a", header: accept("application/yaml"), status: ok},
		{name: "get, protobuf", path: objects + "/a", header: accept(asProtobuf), status: ok},
		{name: "get, encoded name", path: "/apis/rbac.authorization.k8s.io/v1/clusterroles/system%3Anode", status: ok},
		{name: "list, trailing slash", path: objects + "/?" + exact, status: ok},
		{name: "head", method: http.MethodHead, path: "/openapi/v2", header: map[string]string{"Accept-Encoding": "gzip"}, status: ok},
		{name: "head of an object", method: http.MethodHead, path: objects + "/a", status: http.StatusMethodNotAllowed},
		{name: "list", path: objects + "?" + exact, status: ok},
		{name: "list, compressed", path: objects + "?" + exact, header: map[string]string{"Accept-Encoding": "gzip"}, status: ok},
		{name: "list, protobuf", path: objects + "?" + exact, header: accept(asProtobuf), status: ok},
		{name: "list, Table", path: objects + "?" + exact, header: accept(asTable), status: ok, changes: true},
		{name: "list, metadata", path: objects + "?" + exact, header: accept(asMetadata), status: ok},
		{name: "list, one of several representations", path: objects + "?" + exact, header: accept("application/nonsense;q=1, " + asProtobuf + ";q=0.5, */*;q=0.1"), status: ok},
		{name: "list, selectors", path: objects + "?labelSelector=name%20in%20(b,c),name!%3Dc&fieldSelector=metadata.name%3Db&" + exact, status: ok},
		{name: "list, plus for a space", path: objects + "?labelSelector=name+in+(b%2Cc)&" + exact, status: ok},
		{name: "list, long query", path: objects + "?labelSelector=name+notin+(" + strings.Repeat("x%2C", 4000) + "b)&" + exact, status: ok},
		{name: "list, from the cache", path: objects + "?resourceVersion=0&fieldSelector=metadata.name!%3De", status: ok, changes: true},
		{name: "list, latest", path: objects + "?labelSelector=name!%3De", status: ok, changes: true},
		{name: "/", path: "/", status: ok},
		{name: "/version", path: "/version", status: ok},
		{name: "/api", path: "/api", status: ok},
		{name: "/api/v1", path: "/api/v1", status: ok},
		{name: "/apis, aggregated", path: "/apis", header: accept(aggregated), status: ok},
		{name: "/api, aggregated", path: "/api", header: accept(aggregated), status: ok},
		{name: "/readyz", path: "/readyz?verbose", status: ok},
		{name: "/openapi/v2", path: "/openapi/v2", status: ok},
		{name: "/openapi/v2, compressed", path: "/openapi/v2", header: map[string]string{"Accept-Encoding": "gzip"}, status: ok},
		{name: "/openapi/v2, protobuf", path: "/openapi/v2", header: accept("application/com.github.proto-openapi.spec.v2@v1.0+protobuf"), status: ok},
		{name: "/openapi/v3", path: "/openapi/v3", status: ok, changes: true}, // Last-Modified is now
		{name: "redirect", path: "/openapi/v3/api/v1?hash=old", status: http.StatusMovedPermanently},
		{name: "options", method: http.MethodOptions, path: objects, status: http.StatusMethodNotAllowed},
	}
}

// comparePages compares a list in pages; each follows its own continue tokens.
func comparePages(t *testing.T, tours []*tour, at string) {
	t.Helper()
	first := objects + "?limit=2&resourceVersion=" + at + "&resourceVersionMatch=Exact"
	pages := map[string][]*answer{}
	for _, tour := range tours {
		for path := first; path != ""; {
			page := tour.do(t, request{name: path, method: http.MethodGet, path: path, header: accept(asMetadata), status: http.StatusOK})
			pages[tour.way.name] = append(pages[tour.way.name], page)
			var list metav1.PartialObjectMetadataList
			require.NoError(t, json.Unmarshal([]byte(page.Body), &list))
			path = ""
			if list.Continue != "" {
				path = objects + "?limit=2&continue=" + url.QueryEscape(list.Continue)
			}
		}
	}
	require.Len(t, pages["direct"], 3)
	for _, tour := range tours[1:] {
		assert.Equal(t, pages["direct"], pages[tour.way.name], tour.way.name)
	}
}

// compareUnchanged compares what a client gets that has the answer already.
func compareUnchanged(t *testing.T, tours []*tour) {
	t.Helper()
	for path, header := range map[string]map[string]string{
		"/openapi/v2": {}, "/openapi/v3/apis/apps/v1": {}, "/api": accept(aggregated), "/apis": accept(aggregated),
	} {
		known := tours[0].do(t, request{name: path, method: http.MethodGet, path: path, header: header, status: http.StatusOK})
		conditional := map[string]string{"If-None-Match": known.Header.Get("Etag")}
		require.NotEmpty(t, conditional["If-None-Match"])
		for name, value := range header {
			conditional[name] = value
		}
		compare(t, tours, []request{{name: path, path: path, header: conditional, status: http.StatusNotModified}})
	}
}
