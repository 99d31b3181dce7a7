package controllerbench

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"time"

	"golang.org/x/sync/errgroup"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/kube-connector/kube-connector/pkg/apis/connectors/v1alpha1"
	"github.com/kube-connector/kube-connector/pkg/connector"
)

const (
	// concurrency is how many requests the bench makes at once where it prepares.
	concurrency = 32
	// revoked is how a token ends that targets refuse.
	revoked = ".revoked"
)

// create makes all Connectors, each with a Secret for its token and one for its
// CA. Those of a namespace point to different targets.
func (b *bed) create(ctx context.Context, p plan) error {
	namespaces, inner := errgroup.WithContext(ctx)
	namespaces.SetLimit(concurrency)
	for i := range p.namespaces {
		namespaces.Go(func() error { return b.client.Create(inner, namespace(fmt.Sprintf("team-%d", i))) })
	}
	if err := namespaces.Wait(); err != nil {
		return err
	}
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(concurrency)
	for i := range p.connectors {
		group.Go(func() error { return b.createConnector(ctx, keyOf(i, p), b.places[i%len(b.places)]) })
	}
	return group.Wait()
}

// keyOf is the name of a Connector and of its namespace.
func keyOf(i int, p plan) types.NamespacedName {
	return types.NamespacedName{Namespace: fmt.Sprintf("team-%d", i%p.namespaces), Name: fmt.Sprintf("cluster-%d", i/p.namespaces)}
}

func (b *bed) createConnector(ctx context.Context, key types.NamespacedName, at place) error {
	ca := &corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{Namespace: key.Namespace, Name: key.Name + "-ca"},
		Data:       map[string][]byte{connector.SecretKeyCA: []byte(at.CA)},
	}
	c := &v1alpha1.Connector{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: key.Namespace, Name: key.Name,
			Labels:      map[string]string{"app.kubernetes.io/managed-by": "platform"},
			Annotations: map[string]string{"cpaas.io/display-name": "A cluster that " + key.Namespace + " deploys to"},
		},
		Spec: v1alpha1.ConnectorSpec{
			ConnectorClassName: "k8s",
			Address:            at.Address,
			Auth:               &v1alpha1.ConnectorAuth{Name: "bearerTokenAuth", SecretRef: &corev1.ObjectReference{Name: key.Name + "-token"}},
			CACertSecretRef:    &corev1.ObjectReference{Name: ca.Name},
		},
	}
	if err := b.client.Create(ctx, ca); err != nil {
		return err
	}
	if err := b.client.Create(ctx, tokenSecret(key, "")); err != nil {
		return err
	}
	return b.client.Create(ctx, c)
}

func tokenSecret(key types.NamespacedName, end string) *corev1.Secret {
	return &corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{Namespace: key.Namespace, Name: key.Name + "-token"},
		Type:       connector.SecretTypeBearerToken,
		Data:       map[string][]byte{connector.SecretKeyToken: []byte(newToken(key, end))},
	}
}

// newToken is of the form and the size of a ServiceAccount's, and no two are the
// same.
func newToken(key types.NamespacedName, end string) string {
	now := time.Now()
	claims, _ := json.Marshal(map[string]any{ // strings and numbers can be marshalled
		"aud": []string{"https://kubernetes.default.svc.cluster.local"}, "iss": "https://kubernetes.default.svc.cluster.local",
		"exp": now.Add(365 * 24 * time.Hour).Unix(), "iat": now.Unix(), "nbf": now.Unix(), "jti": rand.Text(),
		"kubernetes.io": map[string]any{
			"namespace": key.Namespace, "serviceaccount": map[string]string{"name": key.Name, "uid": rand.Text()},
		},
		"sub": "system:serviceaccount:" + key.Namespace + ":" + key.Name,
	})
	signature := make([]byte, 256)
	_, _ = rand.Read(signature) // never fails
	encode := base64.RawURLEncoding.EncodeToString
	return encode([]byte(`{"alg":"RS256","kid":"`+rand.Text()+`"}`)) + "." + encode(claims) + "." + encode(signature) + end
}
