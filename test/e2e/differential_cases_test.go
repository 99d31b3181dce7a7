package e2e

import "net/http"

// configMap is an object of that name.
func configMap(name, more string) string {
	return `{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"` + name + `"}` + more + `}`
}

// refusals are requests that the API server does not do, each for another reason.
var refusals = []request{
	{name: "bad query", path: objects + "?limit=many", status: http.StatusBadRequest},
	{name: "bad selector", path: objects + "?labelSelector=%3D%3D", status: http.StatusBadRequest},
	{name: "bad resourceVersion", path: objects + "?watch=1&resourceVersion=x", status: http.StatusInternalServerError},
	{name: "bad JSON", method: http.MethodPost, path: objects, header: sends("application/json"), body: `{"kind":`, status: http.StatusBadRequest},
	{name: "another object's name", method: http.MethodPut, path: objects + "/a", header: sends("application/json"), body: configMap("b", ""), status: http.StatusBadRequest},
	{name: "empty body", method: http.MethodPost, path: objects, header: sends("application/json"), status: http.StatusBadRequest},
	{name: "forbidden", method: http.MethodDelete, path: "/api/v1/namespaces/default", status: http.StatusForbidden},
	{name: "no such object", path: objects + "/none", status: http.StatusNotFound},
	{name: "no such object, Table", path: objects + "/none", header: accept(asTable), status: http.StatusNotFound},
	{name: "no such object, protobuf", path: objects + "/none", header: accept(asProtobuf), status: http.StatusNotFound},
	{name: "no such path, head", method: http.MethodHead, path: "/none", status: http.StatusNotFound},
	{name: "no such object, delete", method: http.MethodDelete, path: objects + "/none", status: http.StatusNotFound},
	{name: "no such resource", path: core + "/nones", status: http.StatusNotFound},
	{name: "no such path", path: "/none/at/all", status: http.StatusNotFound},
	{name: "no such path, post", method: http.MethodPost, path: "/none/at/all", body: "something", status: http.StatusNotFound},
	{name: "encoded slash", path: objects + "/a%2Fb", status: http.StatusNotFound},
	{name: "put on a collection", method: http.MethodPut, path: objects, header: sends("application/json"), body: configMap("a", ""), status: http.StatusMethodNotAllowed},
	{name: "post on an object", method: http.MethodPost, path: objects + "/a", header: sends("application/json"), body: configMap("a", ""), status: http.StatusMethodNotAllowed},
	{name: "no such representation", path: objects + "/a", header: accept("application/nonsense"), status: http.StatusNotAcceptable},
	{name: "representation that is turned off", path: objects + "/a", header: accept("application/cbor"), status: http.StatusNotAcceptable},
	{name: "already exists", method: http.MethodPost, path: objects, header: sends("application/json"), body: configMap("a", ""), status: http.StatusConflict},
	{name: "conflict", method: http.MethodPut, path: objects + "/a", header: sends("application/json"),
		body: `{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"a","resourceVersion":"1"}}`, status: http.StatusConflict},
	{name: "conflict of field managers", method: http.MethodPatch, path: objects + "/a?fieldManager=other", header: sends(applyPatch),
		body: configMap("a", `,"data":{"key":"other"}`), status: http.StatusConflict},
	{name: "unsupported media type", method: http.MethodPost, path: objects, header: sends("text/nonsense"), body: configMap("x", ""), status: http.StatusUnsupportedMediaType},
	{name: "unsupported patch", method: http.MethodPatch, path: objects + "/a", header: sends("application/json"), body: "{}", status: http.StatusUnsupportedMediaType},
	{name: "invalid", method: http.MethodPost, path: objects, header: sends("application/json"), body: configMap("NOT valid", ""), status: http.StatusUnprocessableEntity},
	{name: "failed test of a patch", method: http.MethodPatch, path: objects + "/a", header: sends(jsonPatch),
		body: `[{"op":"test","path":"/data/key","value":"other"}]`, status: http.StatusUnprocessableEntity},
}

// dryRuns are requests that would change something.
var dryRuns = []request{
	{name: "create", method: http.MethodPost, path: objects + "?dryRun=All", header: sends("application/json"),
		body: configMap("x", `,"data":{"key":"x"}`), status: http.StatusCreated, changes: true},
	{name: "create, length unknown", method: http.MethodPost, path: objects + "?dryRun=All", header: sends("application/json"), chunked: true,
		body: configMap("x", `,"data":{"key":"x"}`), status: http.StatusCreated, changes: true},
	{name: "create, with 100-continue", method: http.MethodPost, path: objects + "?dryRun=All",
		header: map[string]string{"Content-Type": "application/json", "Expect": "100-continue"},
		body:   configMap("x", `,"data":{"key":"x"}`), status: http.StatusCreated, changes: true},
	{name: "refused before 100-continue", method: http.MethodPost, path: "/none/at/all", header: map[string]string{"Expect": "100-continue"},
		body: "never sent", status: http.StatusNotFound},
	{name: "create, warnings", method: http.MethodPost, path: objects + "?dryRun=All&fieldValidation=Warn", header: sends("application/json"),
		body: configMap("x", `,"one":1,"two":"\"2\"","data":{"key":"1","key":"2"}`), status: http.StatusCreated, changes: true},
	{name: "create, strict", method: http.MethodPost, path: objects + "?dryRun=All&fieldValidation=Strict", header: sends("application/json"),
		body: configMap("x", `,"one":1`), status: http.StatusBadRequest},
	{name: "deprecated", path: core + "/endpoints", status: http.StatusOK, changes: true},
	{name: "delete", method: http.MethodDelete, path: objects + "/a?dryRun=All", status: http.StatusOK, changes: true},
	{name: "delete, with a body", method: http.MethodDelete, path: objects + "/a", header: sends("application/json"),
		body: `{"kind":"DeleteOptions","apiVersion":"v1","dryRun":["All"]}`, status: http.StatusOK, changes: true},
	{name: "delete, precondition", method: http.MethodDelete, path: objects + "/a", header: sends("application/json"),
		body: `{"kind":"DeleteOptions","apiVersion":"v1","preconditions":{"resourceVersion":"1"}}`, status: http.StatusConflict, changes: true},
	{name: "apply, forced", method: http.MethodPatch, path: objects + "/a?fieldManager=other&force=true&dryRun=All", header: sends(applyPatch),
		body: configMap("a", `,"data":{"key":"other"}`), status: http.StatusOK, changes: true},
	{name: "who am I", method: http.MethodPost, path: "/apis/authentication.k8s.io/v1/selfsubjectreviews", header: sends("application/json"),
		body: `{"kind":"SelfSubjectReview","apiVersion":"authentication.k8s.io/v1"}`, status: http.StatusCreated, changes: true},
}

// writes change something, each what the one before it has left.
var writes = []request{
	{name: "create", method: http.MethodPost, path: objects, header: sends("application/json"),
		body: configMap("x", `,"data":{"one":"1","two":"2"}`), status: http.StatusCreated, changes: true},
	{name: "create, YAML", method: http.MethodPost, path: objects, header: sends("application/yaml"),
		body: "{apiVersion: v1, kind: ConfigMap, metadata: {name: other}}", status: http.StatusCreated, changes: true},
	{name: "get", path: objects + "/x", status: http.StatusOK, changes: true},
	{name: "update", method: http.MethodPut, path: objects + "/x", header: sends("application/json"),
		body:   `{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"x","resourceVersion":"{rv}"},"data":{"one":"I","two":"2"}}`,
		status: http.StatusOK, changes: true},
	{name: "JSON patch", method: http.MethodPatch, path: objects + "/x", header: sends(jsonPatch),
		body: `[{"op":"test","path":"/data/one","value":"I"},{"op":"remove","path":"/data/one"}]`, status: http.StatusOK, changes: true},
	{name: "merge patch", method: http.MethodPatch, path: objects + "/x", header: sends(mergePatch),
		body: `{"metadata":{"labels":{"patched":"yes"}},"data":{"two":null,"three":"3"}}`, status: http.StatusOK, changes: true},
	{name: "strategic merge patch", method: http.MethodPatch, path: objects + "/x", header: sends(strategicPatch),
		body: `{"metadata":{"finalizers":["example.com/a"],"$setElementOrder/finalizers":["example.com/a"]}}`, status: http.StatusOK, changes: true},
	{name: "apply", method: http.MethodPatch, path: objects + "/applied?fieldManager=one", header: sends(applyPatch),
		body: "{apiVersion: v1, kind: ConfigMap, metadata: {name: applied}, data: {key: value}}", status: http.StatusCreated, changes: true},
	{name: "apply again", method: http.MethodPatch, path: objects + "/applied?fieldManager=one", header: sends(applyPatch),
		body: "{apiVersion: v1, kind: ConfigMap, metadata: {name: applied}, data: {other: value}}", status: http.StatusOK, changes: true},
	{name: "delete what has a finalizer", method: http.MethodDelete, path: objects + "/x", status: http.StatusOK, changes: true},
	{name: "what is about to go", path: objects + "/x", status: http.StatusOK, changes: true},
	{name: "patch of metadata as a Table", method: http.MethodPatch, path: objects + "/x", status: http.StatusOK, changes: true,
		header: map[string]string{"Content-Type": mergePatch, "Accept": asTable}, body: `{"metadata":{"finalizers":null}}`},
	{name: "what is gone", path: objects + "/x", status: http.StatusNotFound},
	{name: "delete", method: http.MethodDelete, path: objects + "/applied?propagationPolicy=Background", status: http.StatusOK, changes: true},
	{name: "create two", method: http.MethodPost, path: objects, header: sends("application/json"), body: configMap("z1", ""), status: http.StatusCreated, changes: true},
	{name: "of which this is the second", method: http.MethodPost, path: objects, header: sends("application/json"), body: configMap("z2", ""), status: http.StatusCreated, changes: true},
	{name: "delete collection", method: http.MethodDelete, path: objects + "?fieldSelector=metadata.name!%3Dkube-root-ca.crt", status: http.StatusOK, changes: true},
	{name: "what is left", path: objects + "?fieldSelector=metadata.name!%3Dkube-root-ca.crt", status: http.StatusOK, changes: true},
	{name: "delete of a namespace", method: http.MethodDelete, path: core, status: http.StatusOK, changes: true},
}
