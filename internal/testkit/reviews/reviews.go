// Package reviews has what admission is measured with: a review as the API
// server sends it, what it asks for, and handlers to compare ours with.
package reviews

import (
	"bytes"
	"context"
	_ "embed" // the review
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"

	admissionv1 "k8s.io/api/admission/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/kube-connector/kube-connector/pkg/apis/connectors/v1alpha1"
)

// Namespace is that of the Pods and their Connectors.
const Namespace = "team-a"

// Ordinary is a review of the Pod of a Deployment with one container and one init
// container, byte for byte as kube-apiserver 1.36.3 has sent it. The Pod asks for
// the Connector k8s-connector by annotation.
//
//go:embed ordinary.json
var Ordinary []byte

// Pod is that of Ordinary.
func Pod() (*corev1.Pod, error) {
	var review admissionv1.AdmissionReview
	if err := json.Unmarshal(Ordinary, &review); err != nil {
		return nil, err
	}
	var pod corev1.Pod
	return &pod, json.Unmarshal(review.Request.Object.Raw, &pod)
}

// LargePod has the container of Pod 20 times, and asks for five Connectors.
func LargePod() (*corev1.Pod, error) {
	pod, err := Pod()
	if err != nil {
		return nil, err
	}
	pod.Annotations[v1alpha1.AnnotationConnectors] = "one,two,three,four,five"
	for i := range 19 {
		container := *pod.Spec.Containers[0].DeepCopy()
		container.Name = fmt.Sprintf("%s-%d", container.Name, i)
		pod.Spec.Containers = append(pod.Spec.Containers, container)
	}
	return pod, nil
}

// Connector is one that is ready.
func Connector(name string) *v1alpha1.Connector {
	return &v1alpha1.Connector{
		ObjectMeta: metav1.ObjectMeta{Namespace: Namespace, Name: name, Generation: 1},
		Spec: v1alpha1.ConnectorSpec{
			ConnectorClassName: "k8s", Address: "https://192.168.1.100:6443",
			Auth: &v1alpha1.ConnectorAuth{Name: "bearerTokenAuth", SecretRef: &corev1.ObjectReference{Name: "k8s-secret"}},
		},
		Status: v1alpha1.ConnectorStatus{Conditions: []metav1.Condition{{
			Type: string(v1alpha1.ConditionReady), Status: metav1.ConditionTrue, Reason: string(v1alpha1.ReasonReady), ObservedGeneration: 1,
		}}},
	}
}

// Reader has the Connector of Ordinary, and copies it for whoever asks, as a
// cache does.
type Reader struct{ client.Reader }

// Get implements client.Reader.
func (Reader) Get(_ context.Context, key client.ObjectKey, into client.Object, _ ...client.GetOption) error {
	c, ok := into.(*v1alpha1.Connector)
	if !ok || key.Namespace != Namespace || key.Name != connector.Name {
		return apierrors.NewNotFound(schema.GroupResource{Group: v1alpha1.GroupName, Resource: "connectors"}, key.String())
	}
	connector.DeepCopyInto(c)
	return nil
}

var connector = Connector("k8s-connector")

// Post posts Ordinary to a handler in this process.
func Post(ctx context.Context, handler http.Handler) (*httptest.ResponseRecorder, error) {
	request := httptest.NewRequestWithContext(ctx, http.MethodPost, "/inject", bytes.NewReader(Ordinary))
	request.Header.Set("Content-Type", "application/json")
	answer := httptest.NewRecorder()
	handler.ServeHTTP(answer, request)
	if answer.Code != http.StatusOK {
		return nil, fmt.Errorf("the answer is %d: %s", answer.Code, answer.Body)
	}
	return answer, nil
}

// Server serves a handler as the API server calls it: HTTP/2 over TLS, on a
// connection that is kept.
type Server struct{ *httptest.Server }

// Serve starts a Server.
func Serve(handler http.Handler) Server {
	server := httptest.NewUnstartedServer(handler)
	server.EnableHTTP2 = true
	server.StartTLS()
	return Server{server}
}

// Post posts Ordinary and reads the answer.
func (s Server) Post(ctx context.Context) error {
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, s.URL, bytes.NewReader(Ordinary))
	if err != nil {
		return err
	}
	request.Header.Set("Content-Type", "application/json")
	response, err := s.Client().Do(request)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	answer, err := io.ReadAll(response.Body)
	if err != nil {
		return err
	}
	if response.StatusCode != http.StatusOK || response.ProtoMajor != 2 {
		return fmt.Errorf("%s answered %s: %s", response.Proto, response.Status, answer)
	}
	return nil
}
