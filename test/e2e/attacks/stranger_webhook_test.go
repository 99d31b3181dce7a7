package attacks

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	admissionv1 "k8s.io/api/admission/v1"
	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/kube-connector/kube-connector/test/e2e/bed"
)

var _ = declare(attack{
	name: "stranger_webhook", actor: stranger, outcome: harmless,
	tries: "calls the webhook as if it were the API server",
	what:  "it answers with the address of the Connector and the name of its Secret, and no token",
	run: func(t *testing.T, s *scene) {
		asks := s.pod()
		asks.TypeMeta = metav1.TypeMeta{APIVersion: "v1", Kind: "Pod"}
		raw, err := json.Marshal(asks)
		require.NoError(t, err)
		review, err := json.Marshal(&admissionv1.AdmissionReview{
			TypeMeta: metav1.TypeMeta{APIVersion: "admission.k8s.io/v1", Kind: "AdmissionReview"},
			Request: &admissionv1.AdmissionRequest{
				UID: "1", Namespace: s.namespace, Operation: admissionv1.Create, Object: runtime.RawExtension{Raw: raw},
				Kind: metav1.GroupVersionKind{Version: "v1", Kind: "Pod"}, Resource: metav1.GroupVersionResource{Version: "v1", Resource: "pods"},
			},
		})
		require.NoError(t, err)
		var configuration admissionregistrationv1.MutatingWebhookConfiguration
		require.NoError(t, bed.Home.Get(t.Context(), client.ObjectKey{Name: "connector-webhook"}, &configuration))
		var service corev1.Service
		require.NoError(t, bed.Home.Get(t.Context(), client.ObjectKey{Namespace: "connectors-system", Name: "connector-webhook"}, &service))
		address := net.JoinHostPort(service.Spec.ClusterIP, strconv.Itoa(int(service.Spec.Ports[0].Port)))
		path := *configuration.Webhooks[0].ClientConfig.Service.Path
		pod := start(t, s.plain())
		request := fmt.Sprintf("POST %s HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s", path, len(review), review)
		output, err := s.runs(t, pod, "app", request, "attacker", "send", "tls:"+address)
		require.NoError(t, err, output)
		response, err := http.ReadResponse(bufio.NewReader(strings.NewReader(output)), nil)
		require.NoError(t, err, output)
		var answer admissionv1.AdmissionReview
		require.NoError(t, errors.Join(json.NewDecoder(response.Body).Decode(&answer), response.Body.Close()), output)
		assert.Contains(t, string(answer.Response.Patch), bed.Clusters.Target.Address)
		s.sees(string(answer.Response.Patch))
	},
})
