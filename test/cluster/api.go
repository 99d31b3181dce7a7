package cluster

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"
)

// API is one of the two clusters, as a cluster admin sees it from the machine.
type API struct {
	// Address is the API server's: https://198.51.100.3:6443. Pods reach it
	// under the same.
	Address string
	// CA is the certificate, PEM, that the API server's is signed by.
	CA []byte
	// Kubeconfig is a file for kubectl, with a cluster admin's credentials.
	Kubeconfig string

	config *rest.Config
}

// RESTConfig is a client configuration with a cluster admin's credentials and
// without client-side rate limits. It is the caller's own.
func (a *API) RESTConfig() *rest.Config { return rest.CopyConfig(a.config) }

// openAPI reads an admin kubeconfig that writeKubeconfig wrote.
func openAPI(kubeconfig string) (*API, error) {
	config, err := clientcmd.BuildConfigFromFlags("", kubeconfig)
	if err != nil {
		return nil, err
	}
	config.QPS = -1
	return &API{Address: config.Host, CA: config.CAData, Kubeconfig: kubeconfig, config: config}, nil
}

// adminKubeconfig is where the admin's kubeconfig of a cluster is.
func adminKubeconfig(i instance, cluster string) string {
	return filepath.Join(i.dataDir(), cluster, "admin.kubeconfig")
}

// writeKubeconfig writes a kubeconfig that holds all it refers to.
func writeKubeconfig(path, cluster, server string, ca []byte, client keyPair) error {
	config := clientcmdapi.NewConfig()
	config.Clusters[cluster] = &clientcmdapi.Cluster{Server: server, CertificateAuthorityData: ca}
	config.AuthInfos[cluster] = &clientcmdapi.AuthInfo{ClientCertificateData: client.cert, ClientKeyData: client.key}
	config.Contexts[cluster] = &clientcmdapi.Context{Cluster: cluster, AuthInfo: cluster}
	config.CurrentContext = cluster
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	if err := clientcmd.WriteToFile(*config, path); err != nil {
		return fmt.Errorf("write kubeconfig: %w", err)
	}
	return nil
}

// ready returns nil once the API server answers and has finished starting.
func (a *API) ready(ctx context.Context) error {
	client, err := kubernetes.NewForConfig(a.config)
	if err != nil {
		return err
	}
	return client.RESTClient().Get().AbsPath("/readyz").Do(ctx).Error()
}

// hasDefaultServiceAccount returns nil once Pods can be created in the default
// namespace.
func (a *API) hasDefaultServiceAccount(ctx context.Context) error {
	client, err := kubernetes.NewForConfig(a.config)
	if err != nil {
		return err
	}
	_, err = client.CoreV1().ServiceAccounts("default").Get(ctx, "default", metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		return errors.New("kube-controller-manager has not made the default ServiceAccount yet")
	}
	return err
}
