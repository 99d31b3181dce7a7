package inject

import (
	"fmt"
	"path"
	"strconv"
	"strings"

	corev1 "k8s.io/api/core/v1"

	"github.com/kube-connector/kube-connector/pkg/apis/connectors/v1alpha1"
)

// Programs that run in a cluster find its API server by variables that the kubelet
// sets, and by files that the ServiceAccount admission plugin mounts.
const (
	inClusterVolume = "connectors-in-cluster"
	inClusterDir    = sidecarDir + "/in-cluster"
	inClusterHost   = "127.0.0.1"
	// apiTokenVolume begins the names of that plugin's volumes.
	apiTokenVolume = "kube-api-access-"
)

// inCluster is what a Pod asks for whose programs shall take the Connector's
// cluster for the one that they run in.
type inCluster struct {
	port int
	// apiTokens are the Pod's volumes with a token of its own cluster, by name.
	apiTokens map[string]bool
}

// readInCluster reads what is asked of the whole Pod.
func (r *Request) readInCluster(pod *corev1.Pod) error {
	if r.settings.inClusterPort == 0 {
		return nil
	}
	const asked = "annotation " + v1alpha1.AnnotationInCluster + ` is "true", but `
	switch {
	case len(r.annotated) == 0:
		return fmt.Errorf(asked+"only a csi volume names a Connector; name it in annotation %s, of the Pod or of its namespace, which needs the label %s: %s",
			v1alpha1.AnnotationConnectors, v1alpha1.LabelInjection, v1alpha1.InjectionEnabled)
	case len(r.Connectors) > 1:
		return fmt.Errorf(asked+"the Pod names %d Connectors; in-cluster clients know one API server only: name one, or have them use the kubeconfig",
			len(r.Connectors))
	}
	r.inCluster = &inCluster{port: r.settings.inClusterPort, apiTokens: make(map[string]bool)}
	for i := range pod.Spec.Volumes {
		if v := &pod.Spec.Volumes[i]; strings.HasPrefix(v.Name, apiTokenVolume) && v.Projected != nil {
			r.inCluster.apiTokens[v.Name] = true
		}
	}
	return nil
}

// automounted says whether a mount is the one that the ServiceAccount admission
// plugin makes.
func (in *inCluster) automounted(m corev1.VolumeMount) bool {
	return in.apiTokens[m.Name] &&
		sameMount(m, corev1.VolumeMount{Name: m.Name, MountPath: serviceAccountDir, ReadOnly: true})
}

// env is what the kubelet would set to its own cluster's values.
func (in *inCluster) env() []corev1.EnvVar {
	port := strconv.Itoa(in.port)
	return []corev1.EnvVar{
		{Name: "KUBERNETES_SERVICE_HOST", Value: inClusterHost},
		{Name: "KUBERNETES_SERVICE_PORT", Value: port},
		{Name: "KUBERNETES_SERVICE_PORT_HTTPS", Value: port}, // of scripts
	}
}

// addInCluster has a container's in-cluster clients come to the sidecar.
func (p *patcher) addInCluster(at string, c *corev1.Container, in *inCluster) error {
	if err := p.mountInCluster(at, c, in); err != nil {
		return err
	}
	added := 0
	for _, env := range in.env() {
		there := false
		for i := range c.Env {
			if have := &c.Env[i]; have.Name == env.Name {
				// Half of it would lead nowhere, and all of it to a cluster that is
				// not the one that the annotation promises.
				if have.Value != env.Value || have.ValueFrom != nil {
					return fmt.Errorf("container %q sets %s itself, which annotation %s has to set to %s; remove one of the two",
						c.Name, env.Name, v1alpha1.AnnotationInCluster, env.Value)
				}
				there = true
			}
		}
		if !there {
			// First, because variables of the container may refer to it.
			p.make(at+"/env", len(c.Env), emptyList)
			p.add(fmt.Sprintf("%s/env/%d", at, added), env)
			added++
		}
	}
	return nil
}

// mountInCluster puts the sidecar's files where a container has, or would have,
// those of its ServiceAccount.
func (p *patcher) mountInCluster(at string, c *corev1.Container, in *inCluster) error {
	mount := corev1.VolumeMount{Name: inClusterVolume, MountPath: serviceAccountDir, ReadOnly: true}
	mounted := false
	for i, m := range c.VolumeMounts {
		switch {
		case sameMount(m, mount):
			mounted = true
		case m.Name == inClusterVolume:
			return notYours(c, m.Name)
		case in.automounted(m):
			p.replace(fmt.Sprintf("%s/volumeMounts/%d/name", at, i), m.Name, inClusterVolume)
			p.warn("container %q: its mount of this cluster's API token was replaced: in-cluster clients in it reach the Connector's cluster", c.Name)
			mounted = true
		case within(path.Clean(m.MountPath), serviceAccountDir):
			return fmt.Errorf("container %q mounts volume %q at %s, where in-cluster clients look; mount it elsewhere, or remove annotation %s",
				c.Name, m.Name, m.MountPath, v1alpha1.AnnotationInCluster)
		}
	}
	if !mounted {
		p.appendTo(at+"/volumeMounts", len(c.VolumeMounts), mount)
	}
	return nil
}
