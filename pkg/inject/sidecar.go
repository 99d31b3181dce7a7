package inject

import (
	"errors"
	"fmt"
	"path"
	"strconv"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"

	"github.com/kube-connector/kube-connector/pkg/apis/connectors/v1alpha1"
	"github.com/kube-connector/kube-connector/pkg/connector"
)

// SidecarName is the name of the sidecar's container.
const SidecarName = "connector-proxy"

// Where things are in the app's containers.
const (
	kubeconfigMountPath = "/var/run/connectors.alauda.io"
	kubeconfigFile      = "kubeconfig"
	kubeconfigEnv       = "KUBECONFIG"
)

// Where things are in the sidecar: the defaults of its flags.
const (
	sidecarDir        = "/var/run/connector-proxy"
	credentialsDir    = sidecarDir + "/credentials"
	stateDir          = sidecarDir + "/state"
	sidecarConfigDir  = sidecarDir + "/kubeconfig"
	volumesDir        = sidecarDir + "/volumes"
	serviceAccountDir = "/var/run/secrets/kubernetes.io/serviceaccount"
	sidecarBinary     = "/sidecar"
	sidecarUser       = 65532
	memoryLimitEnv    = "GOMEMLIMIT"
	processorsEnv     = "GOMAXPROCS"
)

// The volumes.
const (
	kubeconfigVolume  = "connectors-kubeconfig"
	stateVolume       = "connectors-state"
	noAPITokenVolume  = "connectors-no-api-token"
	credentialsVolume = "connectors-credentials-" // and the index of the Connector
)

func isCredentialsVolume(name string) bool { return strings.HasPrefix(name, credentialsVolume) }

// wanted is the sidecar and the volumes that the Pod must have, apart from the
// csi volumes, which it has already.
func wanted(pod *corev1.Pod, r *Request, connectors []*v1alpha1.Connector, opts Options) (corev1.Container, []corev1.Volume, error) {
	volumes := make([]corev1.Volume, 0, 3+len(connectors))
	mounts := make([]corev1.VolumeMount, 0, 3+len(r.volumes)+len(connectors))
	if len(r.annotated) > 0 {
		volumes = append(volumes, memoryVolume(kubeconfigVolume))
		mounts = append(mounts, corev1.VolumeMount{Name: kubeconfigVolume, MountPath: sidecarConfigDir})
	}
	volumes = append(volumes,
		memoryVolume(stateVolume),
		// The ServiceAccount admission plugin mounts the API token into every
		// container that has nothing at its path. The sidecar has no business
		// with this cluster's API.
		corev1.Volume{Name: noAPITokenVolume, VolumeSource: corev1.VolumeSource{Projected: &corev1.ProjectedVolumeSource{
			Sources: []corev1.VolumeProjection{}, DefaultMode: ptr(int32(0o444)),
		}}})
	mounts = append(mounts,
		corev1.VolumeMount{Name: stateVolume, MountPath: stateDir},
		corev1.VolumeMount{Name: noAPITokenVolume, MountPath: serviceAccountDir, ReadOnly: true})
	if r.inCluster != nil {
		volumes = append(volumes, memoryVolume(inClusterVolume))
		mounts = append(mounts, corev1.VolumeMount{Name: inClusterVolume, MountPath: inClusterDir})
	}
	for i := range r.volumes {
		mounts = append(mounts, corev1.VolumeMount{Name: r.volumes[i].name, MountPath: r.volumes[i].dir()})
	}
	for i, c := range connectors {
		volume, err := credentials(credentialsVolume+strconv.Itoa(i), c)
		if err != nil {
			return corev1.Container{}, nil, fmt.Errorf("connector %s/%s: %w", c.Namespace, c.Name, err)
		}
		volumes = append(volumes, volume)
		mounts = append(mounts, corev1.VolumeMount{
			Name: volume.Name, MountPath: path.Join(credentialsDir, c.Namespace, c.Name), ReadOnly: true,
		})
	}
	resources, err := resources(pod, &r.settings, opts)
	if err != nil {
		return corev1.Container{}, nil, err
	}
	return corev1.Container{
		Name:            SidecarName,
		Image:           opts.Image,
		ImagePullPolicy: corev1.PullIfNotPresent,
		Args:            args(r, connectors, opts),
		Ports:           metricsPorts(opts),
		Env: []corev1.EnvVar{
			{Name: memoryLimitEnv, Value: goMemoryLimit(&resources)},
			{Name: processorsEnv, Value: goMaxProcs(&resources)},
		},
		Resources:     resources,
		VolumeMounts:  mounts,
		RestartPolicy: ptr(corev1.ContainerRestartPolicyAlways),
		Lifecycle: &corev1.Lifecycle{PostStart: &corev1.LifecycleHandler{
			Exec: &corev1.ExecAction{Command: []string{sidecarBinary, "wait"}},
		}},
		TerminationMessagePolicy: corev1.TerminationMessageFallbackToLogsOnError,
		SecurityContext: &corev1.SecurityContext{
			RunAsUser:                ptr(int64(sidecarUser)),
			RunAsGroup:               ptr(int64(sidecarUser)),
			RunAsNonRoot:             ptr(true),
			ReadOnlyRootFilesystem:   ptr(true),
			AllowPrivilegeEscalation: ptr(false),
			Capabilities:             &corev1.Capabilities{Drop: []corev1.Capability{"ALL"}},
			SeccompProfile:           &corev1.SeccompProfile{Type: corev1.SeccompProfileTypeRuntimeDefault},
		},
	}, volumes, nil
}

// args are the sidecar's arguments. Without csi volumes its one kubeconfig is
// where it writes it by default, with all connectors.
func args(r *Request, connectors []*v1alpha1.Connector, opts Options) []string {
	args := []string{"run"}
	for _, c := range connectors {
		// What the kubeconfig names. The token goes only where the ConfigMap says.
		args = append(args, fmt.Sprintf("--connector=%s/%s=%s", c.Namespace, c.Name, c.Spec.Address))
	}
	if len(r.volumes) > 0 && len(r.annotated) > 0 {
		args = append(args, kubeconfigArg(sidecarConfigDir, r.annotated))
	}
	for i := range r.volumes {
		args = append(args, kubeconfigArg(r.volumes[i].dir(), r.volumes[i].connectors))
	}
	args = append(args, r.settings.args...)
	if opts.MetricsPort != 0 {
		args = append(args, fmt.Sprintf("--metrics-port=%d", opts.MetricsPort))
	}
	return args
}

// What credentials is made of. Nobody changes it.
var (
	secretItems     = []corev1.KeyToPath{{Key: connector.SecretKeyToken, Path: connector.SecretKeyToken}}
	connectionItems = []corev1.KeyToPath{
		{Key: v1alpha1.ConnectionKeyAddress, Path: v1alpha1.ConnectionKeyAddress},
		{Key: v1alpha1.ConnectionKeyCA, Path: v1alpha1.ConnectionKeyCA},
		{Key: v1alpha1.ConnectionKeySeal, Path: v1alpha1.ConnectionKeySeal},
	}
)

// credentials is the volume with the token, the address and the CA bundle of a
// Connector. Every source is optional: a Pod must not hang in its start because
// a Secret comes later; the sidecar says what is missing.
func credentials(name string, c *v1alpha1.Connector) (corev1.Volume, error) {
	if _, err := connector.ParseAddress(c.Spec.Address); err != nil {
		return corev1.Volume{}, fmt.Errorf("spec.address: %w", err)
	}
	if c.Spec.Auth == nil || c.Spec.Auth.SecretRef == nil || c.Spec.Auth.SecretRef.Name == "" {
		return corev1.Volume{}, errors.New("spec.auth.secretRef is missing; name the Secret that holds the token")
	}
	if ns := c.Spec.Auth.SecretRef.Namespace; ns != "" && ns != c.Namespace {
		return corev1.Volume{}, fmt.Errorf("spec.auth.secretRef.namespace is %s; the Secret must be in the Connector's own namespace", ns)
	}
	secret := &corev1.SecretProjection{Optional: ptr(true), Items: secretItems}
	secret.Name = c.Spec.Auth.SecretRef.Name
	connection := &corev1.ConfigMapProjection{Optional: ptr(true), Items: connectionItems}
	connection.Name = v1alpha1.ConnectionConfigMapName(c.Name)
	return corev1.Volume{Name: name, VolumeSource: corev1.VolumeSource{Projected: &corev1.ProjectedVolumeSource{
		Sources: []corev1.VolumeProjection{{Secret: secret}, {ConfigMap: connection}},
		// The sidecar's user is not the owner of the files.
		DefaultMode: ptr(int32(0o444)),
	}}}, nil
}

var memoryVolumeLimit = resource.MustParse("1Mi")

// memoryVolume is for files that must never reach a disk.
func memoryVolume(name string) corev1.Volume {
	return corev1.Volume{Name: name, VolumeSource: corev1.VolumeSource{EmptyDir: &corev1.EmptyDirVolumeSource{
		Medium: corev1.StorageMediumMemory, SizeLimit: ptr(memoryVolumeLimit),
	}}}
}

func ptr[T any](v T) *T { return &v }
