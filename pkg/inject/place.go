package inject

import (
	"fmt"
	"path"
	"regexp"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"

	"github.com/kube-connector/kube-connector/pkg/apis/connectors/v1alpha1"
)

// place is where the kubeconfig of the annotation goes. csi volumes have places
// of their own.
type place struct {
	containers map[string]bool // by name; nil is all
	mount      corev1.VolumeMount
	env        corev1.EnvVar
}

// putAt has the kubeconfig in a directory.
func (p *place) putAt(dir string) {
	p.mount = corev1.VolumeMount{Name: kubeconfigVolume, MountPath: dir, ReadOnly: true}
	p.env = corev1.EnvVar{Name: kubeconfigEnv, Value: dir + "/" + kubeconfigFile}
}

func (p *place) in(c *corev1.Container) bool {
	return p.containers == nil || p.containers[c.Name]
}

func (r *Request) readPlace(pod *corev1.Pod) error {
	r.place.putAt(kubeconfigMountPath)
	containers, some := pod.Annotations[v1alpha1.AnnotationContainers]
	if some {
		if err := r.place.readContainers(containers, pod); err != nil {
			return fmt.Errorf("annotation %s %w", v1alpha1.AnnotationContainers, err)
		}
	}
	dir, elsewhere := pod.Annotations[v1alpha1.AnnotationMountPath]
	if elsewhere {
		if err := r.place.readPath(dir); err != nil {
			return fmt.Errorf("annotation %s %w", v1alpha1.AnnotationMountPath, err)
		}
	}
	if (some || elsewhere) && len(r.annotated) == 0 {
		r.warn("annotations %s and %s have no effect on csi volumes: their kubeconfig is where containers mount them",
			v1alpha1.AnnotationContainers, v1alpha1.AnnotationMountPath)
	}
	return nil
}

// readContainers reads which containers get the kubeconfig. A name that is not
// there is most often misspelt.
func (p *place) readContainers(value string, pod *corev1.Pod) error {
	own := ownContainers(pod)
	have, known := make([]string, 0, len(own)), make(map[string]bool, len(own))
	for _, c := range own {
		have = append(have, c.Name)
		known[c.Name] = true
	}
	p.containers = make(map[string]bool)
	for name := range strings.SplitSeq(value, ",") {
		name = strings.TrimSpace(name)
		if !known[name] {
			return fmt.Errorf("names container %q; the Pod has %s", abbreviate(name), few(have))
		}
		p.containers[name] = true
	}
	return nil
}

// few keeps a list short. It is of names that nobody has checked yet.
func few(names []string) string {
	const most = 16
	var b strings.Builder
	for i, name := range names {
		if i == most {
			fmt.Fprintf(&b, " and %d more", len(names)-most)
			break
		}
		if i > 0 {
			b.WriteString(", ")
		}
		b.WriteString(abbreviate(name))
	}
	return b.String()
}

// mountPath leaves out what has a meaning of its own in paths, in variables and
// in runtimes' options.
var mountPath = regexp.MustCompile(`^(/[A-Za-z0-9._-]+){2,}$`)

const mountPathLength = 255

// systemPaths are those that a container does not run without, or that the
// kubelet mounts things into. The first level of a path is left to the image.
var systemPaths = []string{
	"/bin", "/boot", "/dev", "/etc", "/lib", "/lib64", "/proc", "/run/secrets", "/sbin", "/sys", "/usr", "/var/run/secrets",
}

// readPath reads the directory of the kubeconfig.
func (p *place) readPath(value string) error {
	taken := func(system string) bool { return within(value, system) || within(system, value) }
	if len(value) > mountPathLength || !mountPath.MatchString(value) || path.Clean(value) != value || slices.ContainsFunc(systemPaths, taken) {
		return fmt.Errorf(`has the value %q; allowed are paths like /opt/kube: absolute, of two parts or more, of letters, digits and ".", "_", "-", of at most %d characters, not at, in or above %s`,
			abbreviate(value), mountPathLength, strings.Join(systemPaths, ", "))
	}
	p.putAt(value)
	return nil
}

// within reports whether a clean path is a directory or below it.
func within(name, dir string) bool {
	rest, below := strings.CutPrefix(name, dir)
	return below && (rest == "" || rest[0] == '/')
}

// keptOut refuses a container that is not to get the kubeconfig and takes it.
func keptOut(c *corev1.Container) error {
	for _, m := range c.VolumeMounts {
		if m.Name == kubeconfigVolume || m.Name == inClusterVolume {
			return fmt.Errorf("container %q mounts volume %q and is not in annotation %s; name it there or remove that mount", c.Name, m.Name, v1alpha1.AnnotationContainers)
		}
	}
	return nil
}
