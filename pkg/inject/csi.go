package inject

import (
	"errors"
	"fmt"
	"maps"
	"path"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/util/validation"

	"github.com/kube-connector/kube-connector/pkg/apis/connectors/v1alpha1"
	"github.com/kube-connector/kube-connector/pkg/connector"
)

// maxVolumes is how many such volumes a Pod may have. Whoever can create Pods can
// write one of 3 MiB, and what is done for each of them would add up to minutes.
const maxVolumes = 64

// volume is a csi volume that asks for Connectors, or the emptyDir that an
// earlier admission has made of one. The Pod mounts it where it likes; the
// sidecar writes a kubeconfig of the volume's own Connectors into it.
type volume struct {
	name       string
	index      int // in the Pod's list
	csi        bool
	connectors []connector.Reference
}

// String names the volume in messages.
func (v *volume) String() string { return fmt.Sprintf("volume %q", abbreviate(v.name)) }

// dir is where the sidecar has the volume.
func (v *volume) dir() string { return path.Join(volumesDir, v.name) }

func (r *Request) readVolumes(pod *corev1.Pod, namespace string) error {
	injected := injectedVolumes(pod)
	seen := make(map[string]bool)
	for i := range pod.Spec.Volumes {
		in := &pod.Spec.Volumes[i]
		csi := in.CSI != nil && in.CSI.Driver == v1alpha1.CSIDriver
		if !csi && injected[in.Name] == nil {
			continue
		}
		v := volume{name: in.Name, index: i, csi: csi, connectors: injected[in.Name]}
		if csi {
			if err := r.readAttributes(&v, in.CSI.VolumeAttributes, namespace); err != nil {
				return fmt.Errorf("%s: %w", &v, err)
			}
		} else if want := memoryVolume(in.Name); !equality.Semantic.DeepEqual(in, &want) {
			return fmt.Errorf("%s is not the one injected; make it a csi volume of driver %s again and remove container %s: it is added for you", &v, v1alpha1.CSIDriver, SidecarName)
		}
		if len(r.volumes) == maxVolumes {
			return fmt.Errorf("the Pod has more than %d volumes of driver %s; have containers share them", maxVolumes, v1alpha1.CSIDriver)
		}
		// The name becomes part of an argument. The API server refuses such Pods
		// too, but only after us.
		if len(validation.IsDNS1123Label(v.name)) > 0 {
			return fmt.Errorf("%s: its name is not a DNS label; rename it", &v)
		}
		if seen[v.name] {
			return fmt.Errorf("%s is there twice; rename one", &v)
		}
		if err := sameNamespace(v.connectors, namespace); err != nil {
			return fmt.Errorf("%s %w", &v, err)
		}
		seen[v.name] = true
		r.volumes = append(r.volumes, v)
	}
	return nil
}

// readAttributes reads what a csi volume asks for.
func (r *Request) readAttributes(v *volume, attributes map[string]string, namespace string) error {
	for _, key := range slices.Sorted(maps.Keys(attributes)) {
		switch key {
		case v1alpha1.AttributeConnectors, v1alpha1.AttributeConnectorName,
			v1alpha1.AttributeConnectorNamespace, v1alpha1.AttributeConfigurationNames:
		default:
			r.warn("%s: volumeAttribute %s has no effect here and was ignored", v, abbreviate(key))
		}
	}
	for configuration := range strings.SplitSeq(attributes[v1alpha1.AttributeConfigurationNames], ",") {
		switch name := strings.TrimSpace(configuration); name {
		case kubeconfigFile:
		case "":
			r.warn("%s: volumeAttribute %s is missing or has an empty entry; the volume has the file %s, and no other",
				v, v1alpha1.AttributeConfigurationNames, kubeconfigFile)
		default:
			return fmt.Errorf("volumeAttribute %s names %q; there is only %s",
				v1alpha1.AttributeConfigurationNames, abbreviate(name), kubeconfigFile)
		}
	}

	names := strings.TrimSpace(attributes[v1alpha1.AttributeConnectors])
	name := strings.TrimSpace(attributes[v1alpha1.AttributeConnectorName])
	in := strings.TrimSpace(attributes[v1alpha1.AttributeConnectorNamespace])
	switch {
	case names != "" && name != "":
		return fmt.Errorf("volumeAttributes %s and %s are both set; name all Connectors in %s",
			v1alpha1.AttributeConnectors, v1alpha1.AttributeConnectorName, v1alpha1.AttributeConnectors)
	case names != "":
		if in != "" {
			r.warn("%s: volumeAttribute %s goes with %s only and was ignored; write namespace/name in %s",
				v, v1alpha1.AttributeConnectorNamespace, v1alpha1.AttributeConnectorName, v1alpha1.AttributeConnectors)
		}
		refs, err := connector.ParseReferences(names, namespace)
		if err != nil {
			return fmt.Errorf("volumeAttribute %s: %w", v1alpha1.AttributeConnectors, err)
		}
		v.connectors = refs
	case name != "":
		if strings.Contains(name, "/") {
			return fmt.Errorf("volumeAttribute %s is %q; give the namespace in %s",
				v1alpha1.AttributeConnectorName, abbreviate(name), v1alpha1.AttributeConnectorNamespace)
		}
		if in == "" {
			in = namespace
		}
		ref, err := connector.ParseReference(in+"/"+name, "")
		if err != nil {
			return fmt.Errorf("volumeAttributes %s and %s: %w",
				v1alpha1.AttributeConnectorName, v1alpha1.AttributeConnectorNamespace, err)
		}
		v.connectors = []connector.Reference{ref}
	default:
		return errors.New("names no Connector; set the volumeAttribute " + v1alpha1.AttributeConnectors)
	}
	return nil
}

// injectedVolumes reads from the sidecar's arguments which volumes an earlier
// admission has converted, and for which Connectors: a converted volume does not
// say so itself. Whoever writes such arguments by hand gets no more by it than by
// writing csi volumes: all that is derived from them must be what injection would
// make, or the Pod is refused.
func injectedVolumes(pod *corev1.Pod) map[string][]connector.Reference {
	volumes := make(map[string][]connector.Reference)
	for i := range pod.Spec.InitContainers {
		if pod.Spec.InitContainers[i].Name != SidecarName {
			continue
		}
		for _, arg := range pod.Spec.InitContainers[i].Args {
			rest, ok := strings.CutPrefix(arg, "--kubeconfig="+volumesDir+"/")
			if !ok {
				continue
			}
			name, list, ok := strings.Cut(rest, "/"+kubeconfigFile+"=")
			if !ok {
				continue
			}
			if refs, err := connector.ParseReferences(list, ""); err == nil {
				volumes[name] = refs
			}
		}
	}
	return volumes
}

// kubeconfigArg makes the sidecar write a kubeconfig of some of its connectors.
func kubeconfigArg(dir string, refs []connector.Reference) string {
	names := make([]string, 0, len(refs))
	for _, ref := range refs {
		names = append(names, ref.String())
	}
	return "--kubeconfig=" + dir + "/" + kubeconfigFile + "=" + strings.Join(names, ",")
}

// convert replaces the source of a csi volume. It is the one thing that a patch
// removes: an emptyDir beside the csi source is not valid.
func (p *patcher) convert(v *volume) {
	at := fmt.Sprintf("/spec/volumes/%d", v.index)
	p.op("test", at+"/csi/driver", v1alpha1.CSIDriver)
	p.op("remove", at+"/csi", nil)
	p.add(at+"/emptyDir", memoryVolume(v.name).EmptyDir)
}

// protect makes a container's mounts of the volumes read-only, as the csi source
// was: one container must not change the kubeconfig of another.
func (p *patcher) protect(at string, c *corev1.Container, volumes []volume) error {
	for i, m := range c.VolumeMounts {
		if !slices.ContainsFunc(volumes, func(v volume) bool { return v.name == m.Name }) {
			continue
		}
		for _, sub := range []string{m.SubPath, m.SubPathExpr} {
			if sub != "" && sub != kubeconfigFile {
				return fmt.Errorf("container %q mounts %q of volume %q; there is only the file %s in it", c.Name, sub, m.Name, kubeconfigFile)
			}
		}
		if !m.ReadOnly {
			p.add(fmt.Sprintf("%s/volumeMounts/%d/readOnly", at, i), true)
		}
	}
	return nil
}
