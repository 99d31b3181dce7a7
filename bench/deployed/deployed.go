// Package deployed gives a program that is measured what it has where it is
// deployed: what its Deployment says, and the way to an API server.
package deployed

import (
	"fmt"
	"os"

	appsv1 "k8s.io/api/apps/v1"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"
	"sigs.k8s.io/yaml"
)

// GoEnvironment is what a Deployment tells Go's runtime, as KEY=value: how much
// memory to use, and how soon to collect garbage.
func GoEnvironment(path string) ([]string, error) {
	var deployment appsv1.Deployment
	if err := ReadYAML(path, &deployment); err != nil {
		return nil, err
	}
	var environment []string
	for _, env := range deployment.Spec.Template.Spec.Containers[0].Env {
		if env.Name == "GOGC" || env.Name == "GOMEMLIMIT" {
			environment = append(environment, env.Name+"="+env.Value)
		}
	}
	return environment, nil
}

// ReadYAML reads one object from a file of the repository.
func ReadYAML(path string, into any) error {
	content, err := os.ReadFile(path)
	if err != nil {
		return fmt.Errorf("%w; run this at the root of the repository", err)
	}
	return yaml.UnmarshalStrict(content, into)
}

// WriteKubeconfig writes the way to an API server into a file.
func WriteKubeconfig(path string, config *rest.Config) error {
	const name = "bench"
	c := clientcmdapi.NewConfig()
	c.Clusters[name] = &clientcmdapi.Cluster{Server: config.Host, CertificateAuthorityData: config.CAData}
	c.AuthInfos[name] = &clientcmdapi.AuthInfo{
		ClientCertificateData: config.CertData, ClientKeyData: config.KeyData, Token: config.BearerToken,
	}
	c.Contexts[name] = &clientcmdapi.Context{Cluster: name, AuthInfo: name}
	c.CurrentContext = name
	return clientcmd.WriteToFile(*c, path)
}
