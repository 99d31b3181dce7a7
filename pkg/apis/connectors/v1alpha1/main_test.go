package v1alpha1_test

import (
	"fmt"
	"os"
	"testing"

	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/kube-connector/kube-connector/pkg/apis/connectors/v1alpha1"
	"github.com/kube-connector/kube-connector/test/apiserver"
)

// api is a real API server with the CRDs.
var api client.Client

func TestMain(m *testing.M) {
	code, err := runTests(m)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		code = 1
	}
	os.Exit(code)
}

func runTests(m *testing.M) (int, error) {
	server, err := apiserver.Run()
	if err != nil {
		return 1, err
	}
	scheme := runtime.NewScheme()
	if err = v1alpha1.AddToScheme(scheme); err == nil {
		api, err = client.New(server.Config, client.Options{Scheme: scheme})
	}
	code := 1
	if err == nil {
		code = m.Run()
	}
	if stopErr := server.Stop(); err == nil {
		err = stopErr
	}
	return code, err
}
