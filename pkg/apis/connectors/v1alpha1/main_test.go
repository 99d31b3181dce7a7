package v1alpha1_test

import (
	"fmt"
	"os"
	"testing"

	"k8s.io/apimachinery/pkg/runtime"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/kube-connector/kube-connector/pkg/apis/connectors/v1alpha1"
	"github.com/kube-connector/kube-connector/test/apiserver"
)

// api is a real API server with the CRDs, and config is the way to it.
var (
	api    client.Client
	config *rest.Config
	scheme = runtime.NewScheme()
)

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
	config = server.Config
	for _, add := range []func(*runtime.Scheme) error{clientgoscheme.AddToScheme, v1alpha1.AddToScheme} {
		if err == nil {
			err = add(scheme)
		}
	}
	if err == nil {
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
