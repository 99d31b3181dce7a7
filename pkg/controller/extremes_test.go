package controller_test

import (
	"bytes"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/kube-connector/kube-connector/internal/testkit"
	"github.com/kube-connector/kube-connector/pkg/apis/connectors/v1alpha1"
	"github.com/kube-connector/kube-connector/pkg/connector"
)

// almost is nearly what a Secret can hold, which is 1 MiB in all.
const almost = 1<<20 - 64<<10

// TestExtremes: what the API server takes is judged, however large it is, and the
// controller goes on with the others.
func TestExtremes(t *testing.T) {
	manyCAs := func(t *testing.T, size int) []byte {
		t.Helper()
		var all bytes.Buffer
		for i := 0; all.Len() < size; i++ {
			_, ca := testkit.Certificate(t, fmt.Sprintf("ca-%d", i), time.Now().Add(time.Hour))
			all.WriteString(ca)
		}
		return all.Bytes()[:size]
	}
	ownCA := func(f *fixture, text []byte) {
		secret := &corev1.Secret{
			ObjectMeta: metav1.ObjectMeta{Namespace: f.namespace, Name: "ca"},
			Data:       map[string][]byte{"ca.crt": text},
		}
		f.create(secret)
		f.connector.Spec.CACertSecretRef = &corev1.ObjectReference{Name: secret.Name}
	}
	full := func(f *fixture) {
		params := make([]v1alpha1.Param, 64)
		for i := range params {
			params[i] = v1alpha1.Param{Name: fmt.Sprintf("%0253d", i), Value: strings.Repeat("x", 4096)}
		}
		f.connector.Spec.Params = params
		f.connector.Spec.Auth.Params = params
		for i := range 16 {
			f.connector.Spec.AddressExtensions = append(f.connector.Spec.AddressExtensions, v1alpha1.AddressExtension{
				Name: fmt.Sprintf("%0253d", i), Value: "https://" + strings.Repeat("x", 1024-len("https://")),
			})
		}
		f.connector.Annotations = map[string]string{"cpaas.io/description": strings.Repeat("\u202e\u0000", 60<<10)}
	}
	t.Run("objects", func(t *testing.T) {
		for name, tc := range map[string]struct {
			change func(*fixture)
			// condition is what must be False, or Ready, which must be True.
			condition v1alpha1.ConditionType
		}{
			"every list full":         {full, v1alpha1.ConditionConnectorClassReady},
			"a long name":             {func(f *fixture) { f.connector.Name = strings.Repeat("n", 63) }, v1alpha1.ConditionReady},
			"names that do not exist": {func(f *fixture) { f.connector.Spec.Auth.SecretRef.Name = strings.Repeat("n", 253) }, v1alpha1.ConditionSecretReady},
			"a name that cannot be":   {func(f *fixture) { f.connector.Spec.Auth.SecretRef.Name = strings.Repeat("../\n", 15<<10) }, v1alpha1.ConditionSecretReady},
			"a CA's name cannot be": {func(f *fixture) {
				f.connector.Spec.CACertSecretRef = &corev1.ObjectReference{Name: strings.Repeat("..", 400)}
			}, v1alpha1.ConditionCACertReady},
			"a long address": {func(f *fixture) { f.connector.Spec.Address = "https://nowhere.invalid" + strings.Repeat("/path", 200) }, v1alpha1.ConditionLivenessReady},
			"a token of 1 MiB": {func(f *fixture) {
				f.secret.Data[connector.SecretKeyToken] = []byte(f.secretive(strings.Repeat("tokentoken", almost/10)))
			}, v1alpha1.ConditionAuthReady},
			"a token of zeros":           {func(f *fixture) { f.secret.Data[connector.SecretKeyToken] = make([]byte, almost) }, v1alpha1.ConditionSecretReady},
			"a token of lines":           {func(f *fixture) { f.secret.Data[connector.SecretKeyToken] = bytes.Repeat([]byte("\n"), almost) }, v1alpha1.ConditionSecretReady},
			"many keys":                  {func(f *fixture) { addKeys(f.secret, 20_000) }, v1alpha1.ConditionReady},
			"many certificates":          {func(f *fixture) { ownCA(f, manyCAs(f.t, 512<<10)) }, v1alpha1.ConditionCACertReady},
			"more than a ConfigMap has":  {func(f *fixture) { ownCA(f, manyCAs(f.t, almost)); addCA(f.secret, manyCAs(f.t, 256<<10)) }, v1alpha1.ConditionProxyServiceReady},
			"beginnings of certificates": {func(f *fixture) { ownCA(f, bytes.Repeat([]byte("-----BEGIN CERTIFICATE-----\n"), almost/28)) }, v1alpha1.ConditionCACertReady},
			"beginnings and ends": {
				func(f *fixture) { ownCA(f, bytes.Repeat([]byte("-----BEGIN A-----\n-----END A-----\n"), almost/34)) }, v1alpha1.ConditionCACertReady,
			},
			"beginnings of others": {func(f *fixture) { ownCA(f, bytes.Repeat([]byte("-----BEGIN A-----\n-----END B-----\n"), almost/34)) }, v1alpha1.ConditionCACertReady},
			"headers without end":  {func(f *fixture) { ownCA(f, []byte("-----BEGIN A-----\n"+strings.Repeat("a: b\n", almost/5))) }, v1alpha1.ConditionCACertReady},
			"one certificate of much": {func(f *fixture) {
				ownCA(f, []byte("-----BEGIN CERTIFICATE-----\n"+strings.Repeat("MIIB", almost/4)+"\n-----END CERTIFICATE-----\n"))
			}, v1alpha1.ConditionCACertReady},
		} {
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				f := newFixture(t, patient)
				tc.change(f)
				f.create(f.secret, f.connector)
				ready := f.verdict()
				if tc.condition == v1alpha1.ConditionReady {
					assert.Equal(t, metav1.ConditionTrue, ready.Status, ready.Message)
					return
				}
				found := meta.FindStatusCondition(f.read(t).Status.Conditions, string(tc.condition))
				require.NotNil(t, found)
				assert.Equal(t, metav1.ConditionFalse, found.Status, "%s: %s", found.Reason, found.Message)
			})
		}
	})
	f := newFixture(t, patient)
	f.create(f.secret, f.connector)
	assert.Equal(t, metav1.ConditionTrue, f.verdict().Status, "the next one is not looked at")
}

func addKeys(secret *corev1.Secret, n int) {
	for i := range n {
		secret.Data[fmt.Sprintf("%d.crt", i)] = nil
	}
}

func addCA(secret *corev1.Secret, text []byte) {
	secret.Data[connector.SecretKeyCA] = append(secret.Data[connector.SecretKeyCA], text...)
}
