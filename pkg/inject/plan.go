package inject

import (
	"encoding/json"
	"fmt"
	"path"
	"slices"
	"strconv"

	jsonpatch "gomodules.xyz/jsonpatch/v2"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/api/resource"

	"github.com/kube-connector/kube-connector/pkg/apis/connectors/v1alpha1"
)

// Options are what the operator decides; nothing of it can be set from a Pod.
type Options struct {
	// Image of the sidecar.
	Image string
	// CPULimit is the sidecar's CPU limit in every Pod, for namespaces with a
	// quota on CPU limits. Zero: only where the Pod's own containers have one.
	CPULimit resource.Quantity
	// ImagePullSecret is the name of a Secret that the image is pulled with, in
	// each Pod's namespace. It is added to Pods that do not have it.
	ImagePullSecret string
	// MetricsPort is where every sidecar serves its metrics, to everybody who can
	// reach the Pod. Zero: nowhere.
	MetricsPort int
}

// Result is what is to be done to a Pod.
type Result struct {
	// Patch turns the Pod into an injected one. It is empty for a Pod that is
	// one already.
	Patch []jsonpatch.Operation
	// Warnings are for whoever creates the Pod: what was ignored.
	Warnings []string
}

// Plan plans what the Pod asked for; connectors are those of the request, in its
// order. The Pod is not changed. An error means that the Pod must be refused,
// and says why in words for its owner.
func Plan(pod *corev1.Pod, r *Request, connectors []*v1alpha1.Connector, opts Options) (Result, error) {
	if err := supported(pod); err != nil {
		return Result{}, err
	}
	if err := metricsPortFree(pod, &r.settings, opts); err != nil {
		return Result{}, err
	}
	sidecar, volumes, err := wanted(pod, r, connectors, opts)
	if err != nil {
		return Result{}, err
	}
	// There may be more: that costs time, and nothing else.
	p := patcher{operations: make([]jsonpatch.Operation, 0, 8+len(volumes)+2*(len(pod.Spec.InitContainers)+len(pod.Spec.Containers)))}
	result := Result{Warnings: slices.Concat(unknownKeys(pod), r.Warnings)}

	present, warning, err := sidecarPresent(pod, &sidecar, r.volumes)
	if err != nil {
		return Result{}, err
	}
	if warning != "" {
		result.Warnings = append(result.Warnings, warning)
	}
	for i := range r.volumes {
		if v := &r.volumes[i]; v.csi {
			p.convert(v)
			result.Warnings = append(result.Warnings, fmt.Sprintf("%s: its csi source was replaced by an emptyDir in memory, into which container %s writes; containers have it read-only", v, SidecarName))
		}
	}
	if err := p.addVolumes(pod, volumes); err != nil {
		return Result{}, err
	}
	// The app's containers come before the sidecar, because inserting it first
	// moves the indices of the init containers.
	early := present
	for i := range pod.Spec.InitContainers {
		c := &pod.Spec.InitContainers[i]
		if c.Name == SidecarName {
			early = false
			continue
		}
		if err := p.addToContainer("/spec/initContainers/"+strconv.Itoa(i), c, r, early); err != nil {
			return Result{}, err
		}
	}
	for i := range pod.Spec.Containers {
		if err := p.addToContainer("/spec/containers/"+strconv.Itoa(i), &pod.Spec.Containers[i], r, false); err != nil {
			return Result{}, err
		}
	}
	result.Warnings = append(result.Warnings, p.warnings...)
	if !present {
		p.insertFirst("/spec/initContainers", len(pod.Spec.InitContainers), sidecar)
	}
	p.addPullSecret(pod, opts.ImagePullSecret)
	status, err := statusOf(connectors)
	if err != nil {
		return Result{}, err
	}
	p.addKey("/metadata/labels", pod.Labels, v1alpha1.LabelInjected, "true")
	p.addKey("/metadata/annotations", pod.Annotations, v1alpha1.AnnotationStatus, status)
	result.Patch = p.operations
	return result, nil
}

// addToContainer lets a container of the app find its kubeconfigs, and nothing
// else of the sidecar's. An early one, which another webhook has put before the
// sidecar, gets no kubeconfig: there is none when it starts.
func (p *patcher) addToContainer(path string, c *corev1.Container, r *Request, early bool) error {
	for _, m := range c.VolumeMounts {
		if m.Name == stateVolume || isCredentialsVolume(m.Name) {
			return notYours(c, m.Name)
		}
	}
	if err := p.protect(path, c, r.volumes); err != nil {
		return err
	}
	if len(r.annotated) == 0 || early {
		return nil
	}
	if !r.place.in(c) {
		return keptOut(c)
	}
	if err := p.addKubeconfig(path, c, &r.place); err != nil {
		return err
	}
	if r.inCluster == nil {
		return nil
	}
	return p.addInCluster(path, c, r.inCluster)
}

func notYours(c *corev1.Container, volume string) error {
	return fmt.Errorf("container %q mounts volume %q, which is the sidecar's; remove that mount", c.Name, volume)
}

// addKubeconfig lets a container find the kubeconfig of the annotation.
func (p *patcher) addKubeconfig(at string, c *corev1.Container, to *place) error {
	mounted := false
	for _, m := range c.VolumeMounts {
		switch {
		case sameMount(m, to.mount):
			mounted = true
		case within(path.Clean(m.MountPath), to.mount.MountPath):
			return fmt.Errorf("container %q mounts volume %q at %s, where the kubeconfig belongs; mount it elsewhere", c.Name, m.Name, m.MountPath)
		case m.Name == kubeconfigVolume:
			return notYours(c, m.Name)
		}
	}
	if !mounted {
		p.appendTo(at+"/volumeMounts", len(c.VolumeMounts), &to.mount)
	}
	for _, env := range c.Env {
		if env.Name == kubeconfigEnv {
			return nil // set by the container itself, or by us
		}
	}
	p.appendTo(at+"/env", len(c.Env), &to.env)
	return nil
}

func sameMount(a, b corev1.VolumeMount) bool {
	return a.Name == b.Name && a.MountPath == b.MountPath && a.ReadOnly == b.ReadOnly && a.SubPath == b.SubPath && a.SubPathExpr == b.SubPathExpr
}

// addVolumes adds the volumes that are not there. One of the same name that
// holds something else is a clash.
func (p *patcher) addVolumes(pod *corev1.Pod, volumes []corev1.Volume) error {
	have := make(map[string]*corev1.Volume, len(pod.Spec.Volumes))
	for i := range pod.Spec.Volumes {
		have[pod.Spec.Volumes[i].Name] = &pod.Spec.Volumes[i]
	}
	count := len(pod.Spec.Volumes)
	for i := range volumes {
		existing, ok := have[volumes[i].Name]
		if !ok {
			p.appendTo("/spec/volumes", count, &volumes[i])
			count++
			continue
		}
		// Semantic: an empty list comes back from the API server's store as none.
		if !equality.Semantic.DeepEqual(existing, &volumes[i]) {
			return fmt.Errorf("the Pod has a volume %q that is not the one injected; rename it", existing.Name)
		}
	}
	return nil
}

// addPullSecret lets the kubelet pull the sidecar's image.
func (p *patcher) addPullSecret(pod *corev1.Pod, name string) {
	reference := corev1.LocalObjectReference{Name: name}
	if name == "" || slices.Contains(pod.Spec.ImagePullSecrets, reference) {
		return
	}
	p.appendTo("/spec/imagePullSecrets", len(pod.Spec.ImagePullSecrets), reference)
}

// statusOf is the value of the status annotation: which Connectors were
// injected, at which generation.
func statusOf(connectors []*v1alpha1.Connector) (string, error) {
	type entry struct {
		Name       string `json:"name"`
		Generation int64  `json:"generation"`
	}
	var status struct {
		Connectors []entry `json:"connectors"`
	}
	for _, c := range connectors {
		status.Connectors = append(status.Connectors, entry{Name: c.Namespace + "/" + c.Name, Generation: c.Generation})
	}
	b, err := json.Marshal(status)
	if err != nil {
		return "", fmt.Errorf("writing annotation %s: %w", v1alpha1.AnnotationStatus, err)
	}
	return string(b), nil
}
