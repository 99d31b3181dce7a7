package webhook_test

import (
	"bytes"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	evanphx "github.com/evanphx/json-patch/v5"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	admissionv1 "k8s.io/api/admission/v1"
	corev1 "k8s.io/api/core/v1"

	"github.com/kube-connector/kube-connector/internal/testkit/reviews"
	"github.com/kube-connector/kube-connector/pkg/inject"
)

func post(t *testing.T, handler http.Handler, contentType, body string) *httptest.ResponseRecorder {
	t.Helper()
	request := httptest.NewRequest(http.MethodPost, "/inject", strings.NewReader(body))
	request.Header.Set("Content-Type", contentType)
	answer := httptest.NewRecorder()
	handler.ServeHTTP(answer, request)
	return answer
}

// reviewOf is a review of an object, given as JSON.
func reviewOf(version, object string) string {
	return `{"kind":"AdmissionReview","apiVersion":"admission.k8s.io/` + version + `","request":{"uid":"u-1","namespace":"team-a","object":` + object + `}}`
}

// A review as the API server sends it is answered with what is to be done.
func TestReview(t *testing.T) {
	answer, err := reviews.Post(t.Context(), newInjector(t))
	require.NoError(t, err)
	assert.Equal(t, "application/json", answer.Header().Get("Content-Type"))
	var asked, answered admissionv1.AdmissionReview
	require.NoError(t, json.Unmarshal(reviews.Ordinary, &asked))
	require.NoError(t, json.Unmarshal(answer.Body.Bytes(), &answered))
	assert.Equal(t, asked.TypeMeta, answered.TypeMeta)
	assert.Equal(t, asked.Request.UID, answered.Response.UID)
	assert.True(t, answered.Response.Allowed)
	assert.Nil(t, answered.Request)
	require.Equal(t, admissionv1.PatchTypeJSONPatch, *answered.Response.PatchType)
	patch, err := evanphx.DecodePatch(answered.Response.Patch)
	require.NoError(t, err)
	after, err := patch.Apply(asked.Request.Object.Raw)
	require.NoError(t, err)
	var pod corev1.Pod
	require.NoError(t, json.Unmarshal(after, &pod))
	assert.Equal(t, inject.SidecarName, pod.Spec.InitContainers[0].Name)
}

// What is not a review is an HTTP error; the API server says it to whoever
// creates the Pod.
func TestNoReview(t *testing.T) {
	const asJSON = "application/json"
	for name, test := range map[string]struct {
		contentType, body string
		code              int
		says              string
	}{
		"another format":  {"application/yaml", "kind: AdmissionReview", http.StatusUnsupportedMediaType, `the Content-Type is "application/yaml"; send an AdmissionReview as application/json`},
		"no format":       {"", reviewOf("v1", "{}"), http.StatusUnsupportedMediaType, `the Content-Type is ""`},
		"nothing":         {asJSON, "", http.StatusBadRequest, "reading the AdmissionReview: unexpected end of JSON input"},
		"half a review":   {asJSON, reviewOf("v1", "{}")[:80], http.StatusBadRequest, "reading the AdmissionReview: unexpected end of JSON input"},
		"two reviews":     {asJSON, reviewOf("v1", "{}") + reviewOf("v1", "{}"), http.StatusBadRequest, "reading the AdmissionReview: invalid character"},
		"another kind":    {asJSON, `{"kind":"Pod","apiVersion":"v1","request":{"uid":"u-1"}}`, http.StatusBadRequest, "not an AdmissionReview"},
		"no request":      {asJSON, `{"kind":"AdmissionReview","apiVersion":"admission.k8s.io/v1","request":null}`, http.StatusBadRequest, "not an AdmissionReview"},
		"an answer":       {asJSON, `{"kind":"AdmissionReview","apiVersion":"admission.k8s.io/v1","response":{"uid":"u-1"}}`, http.StatusBadRequest, "not an AdmissionReview"},
		"a list":          {asJSON, "[]", http.StatusBadRequest, "reading the AdmissionReview: json: cannot unmarshal array"},
		"larger than any": {asJSON, reviewOf("v1", `"`+strings.Repeat("x", 7<<20)+`"`), http.StatusRequestEntityTooLarge, "the AdmissionReview is larger than 7340032 bytes"},
	} {
		t.Run(name, func(t *testing.T) {
			answer := post(t, newInjector(t), test.contentType, test.body)
			assert.Equal(t, test.code, answer.Code)
			assert.Contains(t, answer.Body.String(), test.says)
		})
	}
}

// What is a review of something else, or of what cannot be read, is refused in an
// answer to it.
func TestUnreadablePod(t *testing.T) {
	for name, test := range map[string]struct{ version, object, says string }{
		"another version": {"v1beta1", `{"kind":"Pod","apiVersion":"v1"}`, "the AdmissionReview is of admission.k8s.io/v1beta1; set admissionReviewVersions to [v1] in the webhook configuration"},
		"another kind":    {"v1", `{"kind":"Deployment","apiVersion":"apps/v1"}`, `the review has no Pod of v1 but "Deployment" of "apps/v1"`},
		"no object":       {"v1", "null", `the review has no Pod of v1 but "" of ""`},
		"no Pod at all":   {"v1", `"a Pod"`, "reading the Pod: json: cannot unmarshal string"},
		"a wrong type":    {"v1", `{"kind":"Pod","apiVersion":"v1","spec":[]}`, "reading the Pod: json: cannot unmarshal array"},
		"a wrong value":   {"v1", `{"kind":"Pod","apiVersion":"v1","spec":{"containers":[{"resources":{"limits":{"cpu":"lots"}}}]}}`, "reading the Pod: quantities must match"},
	} {
		t.Run(name, func(t *testing.T) {
			answer := post(t, newInjector(t), "application/json; charset=utf-8", reviewOf(test.version, test.object))
			require.Equal(t, http.StatusOK, answer.Code, answer.Body)
			var review admissionv1.AdmissionReview
			require.NoError(t, json.Unmarshal(answer.Body.Bytes(), &review))
			assert.Equal(t, "admission.k8s.io/"+test.version, review.APIVersion, "the API server takes an answer of its own version only")
			assert.EqualValues(t, "u-1", review.Response.UID)
			assert.False(t, review.Response.Allowed)
			assert.Empty(t, review.Response.Patch)
			assert.EqualValues(t, http.StatusBadRequest, review.Response.Result.Code)
			assert.Contains(t, review.Response.Result.Message, test.says)
		})
	}
}

// A key in other letters is another key, as it is for the API server: what it
// does not see, the webhook must not act upon, nor the other way round.
func TestKeysAreCaseSensitive(t *testing.T) {
	injector := newInjector(t)
	asks := bytes.Replace(reviews.Ordinary, []byte(`"annotations":`), []byte(`"Annotations":`), 1)
	answer := post(t, injector, "application/json", string(asks))
	require.Equal(t, http.StatusOK, answer.Code)
	assert.Contains(t, answer.Body.String(), `"allowed":true`)
	assert.NotContains(t, answer.Body.String(), `"patch":`)

	host := bytes.Replace(reviews.Ordinary, []byte(`"spec":{`), []byte(`"spec":{"HostNetwork":true,`), 1)
	assert.Contains(t, post(t, injector, "application/json", string(host)).Body.String(), `"patch":`)
	host = bytes.Replace(host, []byte("HostNetwork"), []byte("hostNetwork"), 1)
	assert.Contains(t, post(t, injector, "application/json", string(host)).Body.String(), "the Pod has hostNetwork")
}

// A panic is an answer, not a connection that ends.
func TestPanic(t *testing.T) {
	injector := newInjector(t)
	injector.Cache = nil
	answer := post(t, injector, "application/json", string(reviews.Ordinary))
	assert.Equal(t, http.StatusInternalServerError, answer.Code)
	assert.Equal(t, "the webhook failed to answer; its log says where\n", answer.Body.String())
}
